"""Many workers: whatever dies, the table of runs ends up the same, bit for bit."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.studies import LONGER, SMALL, made_up, read, rows, same

from hilbertune.errors import HilbertuneError
from hilbertune.study import plan, workers
from hilbertune.study import running as study

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the longer study in this process, and return its directory."""
    folder = tmp_path_factory.mktemp("undisturbed")
    study.run_study(read(folder, LONGER), made_up(), folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """Two Ray nodes of one core each."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # A cluster of this kind asks for no token, even where 'ray start' has left one.
    os.environ["RAY_AUTH_MODE"] = "disabled"
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    found.add_node(num_cpus=1)
    yield found
    found.shutdown()
    del os.environ["RAY_AUTH_MODE"]


@pytest.fixture
def cluster(nodes: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    return nodes


def workers_of(name: str) -> list[int]:
    """Return the processes that do a job of this name now."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"ray::{name}" in (entry / "cmdline").read_text():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def after(directory: Path, count: int, act: Any) -> threading.Thread:
    """Start a thread that acts once this many runs are in the table."""

    def wait() -> None:
        while True:
            try:
                if rows(directory, "SELECT count(*) FROM runs")[0][0] >= count:
                    break
            except sqlite3.Error:
                pass
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
def test_two_nodes_bring_the_table_of_one_process_though_a_worker_is_killed(
    cluster: Any, undisturbed: Path, tmp_path: Path, data: plan.Data
) -> None:
    killed: list[int] = []

    def kill() -> None:
        while not killed:
            for process in workers_of("train_block"):
                os.kill(process, signal.SIGKILL)
                killed.append(process)

    out = tmp_path / "out"
    with workers.open_pool("auto") as pool:
        assert (pool.slots, pool.nodes) == (2, 2)
        thread = after(out, 1, kill)
        study.run_study(read(tmp_path, LONGER), data, out, workers="auto")
        thread.join(1)
    assert killed
    assert same(out, undisturbed)


@pytest.mark.slow
def test_workers_train_ensembles_as_one_process_does(cluster: Any, tmp_path: Path, data: plan.Data) -> None:
    asked = read(tmp_path, SMALL.replace("epochs: 2,", "epochs: 2, members: 3, bootstrap: true,"))
    study.run_study(asked, data, tmp_path / "one")
    study.run_study(asked, data, tmp_path / "two", workers=2)
    assert same(tmp_path / "two", tmp_path / "one")
    (count,) = rows(tmp_path / "two", "SELECT COUNT(*) FROM runs WHERE error IS NULL")[0]
    assert count == 16


def test_a_job_that_kills_its_workers_is_given_up_and_the_rest_is_done(cluster: Any) -> None:
    def deadly(job: int, shared: int) -> int:
        import os
        import signal

        if job == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return job * shared

    with workers.open_pool(2) as pool:
        found = dict(pool.scatter(deadly, 10, range(5)))
    lost = found.pop(2)
    assert isinstance(lost, workers.Lost)
    assert "died 4 times" in lost.why
    assert found == {0: 0, 1: 10, 3: 30, 4: 40}


def test_what_a_job_raises_is_raised(cluster: Any) -> None:
    def broken(job: int, shared: None) -> None:
        from hilbertune.errors import HilbertuneError

        raise HilbertuneError("no such thing")

    with workers.open_pool(1) as pool, pytest.raises(HilbertuneError, match=r"^no such thing$"):
        list(pool.scatter(broken, None, [1]))


@pytest.mark.slow
def test_a_node_that_is_lost_takes_no_run_with_it(
    cluster: Any, undisturbed: Path, tmp_path: Path, data: plan.Data
) -> None:
    third = cluster.add_node(num_cpus=2)
    out = tmp_path / "out"
    thread = after(out, 2, lambda: cluster.remove_node(third, allow_graceful=False))
    study.run_study(read(tmp_path, LONGER), data, out, workers="auto")
    thread.join(30)
    assert not thread.is_alive()
    assert same(out, undisturbed)


@pytest.mark.slow
def test_the_process_that_keeps_the_table_is_killed_and_started_again(
    cluster: Any, undisturbed: Path, tmp_path: Path, data: plan.Data
) -> None:
    (tmp_path / "s.yaml").write_text(LONGER)
    script = (
        "from pathlib import Path\n"
        "from hilbertune.study import Data, read_study, run_study\n"
        "from helpers.studies import made_up\n"
        f"asked, out = read_study({str(tmp_path / 's.yaml')!r}), Path({str(tmp_path / 'out')!r})\n"
        "run_study(asked, made_up(), out, workers='auto')\n"
    )
    here = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])}
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", script], env=environment)
    after(out, 3, process.kill).join(120)
    assert process.wait() == -signal.SIGKILL
    half = len(rows(out, "SELECT id FROM runs"))
    assert 3 <= half < 32
    study.run_study(read(tmp_path, LONGER), data, out, workers="auto")
    assert same(out, undisturbed)


@pytest.mark.parametrize(
    ("count", "address", "message"),
    [(0, None, "at least one worker"), (1, "127.0.0.1:1", "no Ray cluster at 127.0.0.1:1")],
)
def test_workers_that_cannot_be_had_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, count: int, address: str | None, message: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(HilbertuneError, match=message), workers.open_pool(count):
        pass
