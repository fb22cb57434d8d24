"""Many workers: Ray hands out jobs to the cores and GPUs of this machine or of a cluster.

In: a function, data that all jobs share, and the jobs.
Out: (job, answer) in the order in which they are done. The jobs of a worker or node that dies are done again elsewhere;
    a job that kills its workers is given up as `Lost`. Ray passes Python objects between its own processes as pickles:
    a cluster is as trusted as its machines, and no file from elsewhere is read that way.
"""

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypeVar

from hilbertune.errors import HilbertuneError, require

RETRIES = 3
"""Number of times that a job is done again if its worker died."""


GPU_SHARE = 0.25
"""Share of a GPU for each job: four blocks train on one side by side."""


Workers = int | Literal["auto"]


Job = TypeVar("Job")


@dataclass(frozen=True)
class Lost:
    """The answer of a job whose workers died."""

    why: str


class Pool:
    """Workers: `slots` jobs are done at once, on `nodes` machines."""

    def __init__(self, ray: Any, slots: int, nodes: int, device: str) -> None:
        self.slots, self.nodes = slots, nodes
        self._ray = ray
        self._resources = {"num_cpus": 1, "num_gpus": 0 if device == "cpu" else GPU_SHARE}

    def scatter(
        self,
        call: Callable[..., Any],
        shared: Any,
        jobs: Iterable[Job],
        ahead: int | None = None,
    ) -> Iterator[tuple[Job, Any]]:
        """Yield each job with `call(job, shared)`, and raise what it raises.

        `ahead` is the number of jobs that are handed out at once, by default enough that no worker waits.

        Raises:
            HilbertuneError: the cluster is gone.
        """
        ray = self._ray
        held = ray.put(shared)
        remote = ray.remote(call).options(max_retries=RETRIES, **self._resources)
        # Few enough that a study of 100,000 blocks is no burden.
        ahead = 2 * self.slots + 2 if ahead is None else ahead
        left, waiting = iter(jobs), dict[Any, Job]()
        try:
            while True:
                for job in islice(left, ahead - len(waiting)):
                    waiting[remote.remote(job, held)] = job
                if not waiting:
                    return
                (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
                job = waiting.pop(ready)
                yield job, _answer(ray, ready)
        except ray.exceptions.RaySystemError as error:
            raise HilbertuneError(
                "The Ray cluster is gone: start it again and give the same command; finished runs are kept."
            ) from error
        finally:
            for unfinished in waiting:
                ray.cancel(unfinished, force=True)


def _answer(ray: Any, reference: Any) -> Any:
    """Return the answer of a job that is done, or `Lost`."""
    errors = ray.exceptions
    try:
        return ray.get(reference)
    except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError) as error:
        return Lost(f"its worker died {RETRIES + 1} times ({type(error).__name__})")
    except errors.RayTaskError as error:
        cause = error.cause
        raise (cause if isinstance(cause, HilbertuneError) else error) from None


def _knock(address: str | None) -> None:
    """Raise HilbertuneError if nothing answers at the address; Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return  # none, or "auto"
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise HilbertuneError(
            f"There is no Ray cluster at {address} ({error.strerror or error}): "
            "check RAY_ADDRESS, or unset it to use this machine."
        ) from error


def _ray() -> Any:
    """Return the package Ray."""
    try:
        return require("ray", "sweep")
    except KeyError as error:
        # Ray looks for AMD's GPUs with amdsmi, which comes with the extra `energy` and fails without AMD's driver.
        if "libamd_smi" not in str(error):
            raise
        raise HilbertuneError(
            "Ray cannot start beside the package amdsmi on a machine without ROCm: "
            "run pip uninstall amdsmi (it meters AMD's GPUs only)."
        ) from error


@contextmanager
def open_pool(workers: Workers, device: str = "cpu") -> Iterator[Pool]:
    """Open the cluster at $RAY_ADDRESS, or else workers on this machine ("auto": one per core that it may use).

    Raises:
        HilbertuneError: fewer than one worker, or the cluster cannot be reached.
        MissingExtraError: the extra `sweep` is not installed.
    """
    if workers != "auto" and workers < 1:
        raise HilbertuneError(f"There must be at least one worker, not {workers}.")
    _set_environment()
    ray = _ray()
    ours = not ray.is_initialized()
    if ours:
        _start(ray, workers)
    try:
        resources = ray.cluster_resources()
        slots = int(resources.get("CPU", 1))
        if device != "cpu":
            slots = min(slots, int(resources.get("GPU", 0) / GPU_SHARE))
            if not slots:
                raise HilbertuneError("No worker has a GPU: leave --device out.")
        if workers != "auto":
            slots = min(slots, workers)
        yield Pool(ray, slots, len([n for n in ray.nodes() if n["Alive"]]), device)
    finally:
        if ours:
            ray.shutdown()


def _set_environment() -> None:
    """Set the variables that Ray reads when it is imported, unless the user has set them."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray would hide GPUs from workers that ask for none, and warns that it will stop doing so.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    token = "RAY_AUTH_TOKEN" in os.environ or os.path.exists(os.path.expanduser("~/.ray/auth_token"))
    if os.environ.get("RAY_ADDRESS") and token:
        # Where there is a token, 'ray start' makes clusters that ask for it; Ray's clients show it only if told to.
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _start(ray: Any, workers: Workers) -> None:
    """Join the cluster at $RAY_ADDRESS, or start Ray on this machine."""
    address = os.environ.get("RAY_ADDRESS")
    _knock(address)
    count = len(os.sched_getaffinity(0)) if workers == "auto" else workers
    local = {} if address else {"num_cpus": count, "include_dashboard": False}
    try:
        # Without "local" Ray would join any cluster that somebody has started on this machine.
        ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **local)
    except (ConnectionError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise HilbertuneError(
            f"Ray does not start ({said[:200]}): check RAY_ADDRESS and RAY_AUTH_MODE, or leave --workers out."
        ) from error
