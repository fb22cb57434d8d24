"""Batch scripts: what they ask for, and that a real Slurm controller runs one to the table of an undisturbed study."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.studies import SMALL, made_up, read, same

from hilbertune.errors import HilbertuneError
from hilbertune.study import running as study
from hilbertune.study import slurm

Run = Callable[..., tuple[int, str, str]]
CONFIG = """
ClusterName=test
SlurmctldHost={host}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldPort={ports[0]}
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 State=UNKNOWN
PartitionName=small Nodes=one Default=YES MaxTime=INFINITE State=UP
"""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Start slurmctld and slurmd on this machine, from Debian's packages, with no authentication."""
    if not all(map(shutil.which, ("slurmctld", "slurmd", "sbatch"))) or os.geteuid():
        pytest.skip("needs Debian's slurmctld, slurmd and slurm-client, and root")
    host = socket.gethostname().split(".")[0]
    (tmp_path / "state").mkdir()
    config = tmp_path / "slurm.conf"
    config.write_text(CONFIG.format(host=host, folder=tmp_path, ports=[free_port(), free_port()]))
    monkeypatch.setenv("SLURM_CONF", str(config))
    own = [subprocess.Popen(["slurmctld", "-D"]), subprocess.Popen(["slurmd", "-D", "-N", "one"])]
    try:
        for _ in range(60):
            said = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True)
            if said.stdout.strip() == "idle":
                break
            time.sleep(0.5)
        else:
            raise AssertionError(said.stdout + said.stderr)
        yield tmp_path
    finally:
        subprocess.run(["scancel", "--user=root", "--signal=KILL"], check=False)
        time.sleep(1)
        for process in own:
            process.kill()
            process.wait(20)


def test_a_script_asks_for_what_the_system_has() -> None:
    text = slurm.script(["study", "a b.yaml"], system="frontier", nodes=8, hours=1.5, account="ABC")
    asked = {line.removeprefix("#SBATCH ") for line in text.splitlines() if "#SBATCH" in line}
    assert {"--nodes=8", "--gpus-per-node=8", "--cpus-per-task=56", "--time=01:30:00", "--account=ABC"} <= asked
    assert "module load rocm" in text
    assert "study 'a b.yaml' --workers auto" in text
    assert "--gpus-per-node=2" in slurm.script([], system="nvidia", gpus=2)
    assert "gpus-per-node" not in slurm.script([], system="cpu")
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"system": "cray"}, "no system 'cray'"), ({"system": "cpu", "nodes": 0}, "at least one node")],
)
def test_impossible_allocations_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(HilbertuneError, match=message):
        slurm.script([], **options)  # type: ignore[arg-type]


def test_the_command_line_prints_a_script_and_submits_none_without_slurm(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s.yaml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    flags = ("study", "s.yaml", "--out", "s", "--data", "x.npz", "--cluster", "slurm", "--system", "frontier")
    code, text, err = run(*flags, "--print")
    assert (code, err) == (0, "")
    config, out, data = (tmp_path / name for name in ("s.yaml", "s", "x.npz"))
    assert f"study {config} --out {out} --data {data} --size full --device cuda --workers auto" in text
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = run(*flags)
    assert (code, "no sbatch on this machine" in err) == (2, True)
    code, _, err = run("study", "s.yaml", "--out", "s", "--print")
    assert (code, "goes with --cluster" in err) == (2, True)
    code, _, err = run("study", "s.yaml", "--out", "s", "--workers", "many")
    assert (code, "a number or auto" in err) == (2, True)


@pytest.mark.slow
def test_a_real_controller_runs_the_study(controller: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    data = made_up()
    np.savez(tmp_path / "x.npz", embeddings=data.embeddings, labels=data.labels)
    monkeypatch.chdir(tmp_path)
    study.run_study(read(tmp_path), data, tmp_path / "plain")
    command = ["study", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "out"), "--data", str(tmp_path / "x.npz")]
    text = slurm.script(command, system="cpu", nodes=1, cores=1, python=Path(sys.executable))
    number = slurm.submit(text).split()[-1]
    for _ in range(360):
        said = subprocess.run(["scontrol", "show", "job", number], capture_output=True, text=True)
        if "JobState=COMPLETED" in said.stdout or "JobState=FAILED" in said.stdout:
            break
        time.sleep(0.5)
    log = (tmp_path / f"hilbertune-{number}.log").read_text()
    assert "JobState=COMPLETED" in said.stdout, said.stdout + log
    assert "Report: " in log
    assert same(tmp_path / "out", tmp_path / "plain")
