"""A batch script that runs a study on a Slurm cluster: Ray on every node of the allocation, the study on the first.

In: the command of the study, a system, nodes.
Out: the text of the script. A job that ends too early is submitted again unchanged: the study resumes.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from hilbertune.errors import HilbertuneError, shown

LONGEST_HOURS = 100_000
"""Hours that no cluster allows."""


@dataclass(frozen=True)
class System:
    """A kind of cluster: usable cores and GPUs of a node, commands that load software, and flags that ask for GPUs."""

    cores: int | None
    gpus: int
    setup: str
    asks: Sequence[str] = ()


SYSTEMS = {
    # 64 cores, of which 8 are the system's own; 4 MI250X are 8 devices. Frontier's user guide (OLCF).
    "frontier": System(56, 8, "module load rocm", ("--gpus-per-node=8",)),
    "nvidia": System(None, 4, "", ("--gpus-per-node={gpus}",)),
    "cpu": System(None, 0, ""),
}
"""Frontier with a ROCm build of torch, a cluster with NVIDIA GPUs, one without GPUs."""


class _Script(Template):
    """A text with places such as ~python; the dollar signs are the shell's."""

    delimiter = "~"


SCRIPT = _Script("""\
#!/bin/bash
~directives
set -euo pipefail
~setup
ray() { ~python -m ray.scripts.scripts "$@"; }
export -f ray
export RAY_USAGE_STATS_ENABLED=0
# Other users of the machine cannot use this Ray: a token for this job alone.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')

# Ray's head runs on the first node, a worker on every other; each job has a port of its own.
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --overlap --nodelist="$first" hostname --ip-address | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 20000))
cores=~cores
srun --nodes=1 --ntasks=1 --overlap --nodelist="$first" \\
  bash -c "ray start --head --node-ip-address=$address --port=$port --num-cpus=$cores --num-gpus=~gpus \
--include-dashboard=false --disable-usage-stats --block" &
for _ in $(seq 120); do (exec 3<> "/dev/tcp/$address/$port") 2> /dev/null && break; sleep 1; done
if (( SLURM_JOB_NUM_NODES > 1 )); then
  srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --overlap --exclude="$first" \\
    bash -c "ray start --address=$address:$port --num-cpus=$cores --num-gpus=~gpus --disable-usage-stats --block" &
fi
export RAY_ADDRESS="$address:$port"
~python - << 'WAIT'
import os, time, ray
ray.init(log_to_driver=False)
for _ in range(300):
    if sum(node["Alive"] for node in ray.nodes()) >= int(os.environ["SLURM_JOB_NUM_NODES"]):
        break
    time.sleep(1)  # a node that is missing after five minutes is done without
WAIT
~study --workers auto
""")


def script(
    command: Sequence[str],
    *,
    system: str,
    nodes: int = 1,
    gpus: int | None = None,
    cores: int | None = None,
    hours: float = 2.0,
    account: str | None = None,
    partition: str | None = None,
    python: Path = Path(sys.executable),
) -> str:
    """Return the script, to be given to sbatch.

    Args:
        command: arguments of `hilbertune`, without a cluster.
        system: a name in SYSTEMS.
        nodes: number of nodes of the allocation.
        gpus: GPUs per node; default the system's.
        cores: cores per node for Ray; default the system's, else all that Slurm gives.
        hours: time limit.
        account: the account that pays.
        partition: the queue.
        python: the interpreter, with hilbertune and the extra `sweep`, at a place that every node sees.

    Raises:
        HilbertuneError: an unknown system, or numbers that make no allocation.
    """
    if system not in SYSTEMS:
        raise HilbertuneError(f"There is no system {system!r}: choose from {', '.join(SYSTEMS)}.")
    if nodes < 1 or not 0 < hours < LONGEST_HOURS:
        raise HilbertuneError(f"An allocation needs at least one node, more than 0 and under {LONGEST_HOURS:,} hours.")
    for name, word in (("account", account), ("partition", partition)):
        if word is not None and not re.fullmatch(r"[\w.,:@+-]+", word, re.ASCII):
            raise HilbertuneError(f"A Slurm {name} is made of letters, digits and .,:@+-, not {shown(word)}.")
    known = SYSTEMS[system]
    gpus, cores = known.gpus if gpus is None else gpus, cores or known.cores
    minutes = max(1, round(60 * hours))
    asks = [
        "--job-name=hilbertune",
        f"--nodes={nodes}",
        "--ntasks-per-node=1",
        f"--time={minutes // 60:02d}:{minutes % 60:02d}:00",
        "--output=hilbertune-%j.log",
        "--exclusive",
        *([f"--cpus-per-task={cores}"] if cores else []),
        *(ask.format(gpus=gpus) for ask in known.asks if gpus),
        *([f"--account={account}"] if account else []),
        *([f"--partition={partition}"] if partition else []),
    ]
    return SCRIPT.substitute(
        directives="\n".join(f"#SBATCH {ask}" for ask in asks),
        setup=known.setup or "# module load ... whatever your cluster needs",
        python=shlex.quote(str(python)),
        cores=cores or "${SLURM_CPUS_ON_NODE:-1}",
        gpus=gpus,
        study=shlex.join([str(python), "-m", "hilbertune", *command]),
    )


def submit(text: str) -> str:
    """Give a script to sbatch, and return its answer, which holds the number of the job.

    Raises:
        HilbertuneError: there is no sbatch here, or it refuses.
    """
    if shutil.which("sbatch") is None:
        raise HilbertuneError("There is no sbatch on this machine: use --print, and submit the script on the cluster.")
    done = subprocess.run(["sbatch"], input=text, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode:
        said = " ".join(done.stderr.split()).rstrip(".")
        raise HilbertuneError(f"Slurm refuses the job ({said}).")
    return done.stdout.strip()
