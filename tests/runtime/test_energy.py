"""Joules from meters, never from guesses: zeus on counters that a test turns, what has none, and where it all is shown."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hilbertune.data.splits import few_shot_split
from hilbertune.errors import HilbertuneError
from hilbertune.model import evaluation
from hilbertune.model.layers import HybridHead
from hilbertune.runtime import energy
from hilbertune.runtime.energy import Energy

WATTS = 40.0


COUNTING = """
import pathlib, sys, time
files, watts, begun = sys.argv[2:], float(sys.argv[1]), time.perf_counter()
while True:
    joules = watts * (time.perf_counter() - begun)
    for file, share in zip(files, (1.0, 0.25)):
        new = pathlib.Path(file + ".new")
        new.write_text(f"{1_000_000 + int(1e6 * joules * share)}\\n")
        new.replace(file)
    time.sleep(0.002)
"""


class Counter:
    """RAPL's files of one package with its memory, which another process counts up by WATTS and a quarter of that."""

    def __init__(self, root: Path) -> None:
        self.package = root / "intel-rapl:0"
        memory = self.package / "intel-rapl:0:0"
        memory.mkdir(parents=True)
        for folder, name in ((self.package, "package-0"), (memory, "dram")):
            (folder / "name").write_text(f"{name}\n")
            (folder / "max_energy_range_uj").write_text("262143328850\n")
        files = [self.package / "energy_uj", memory / "energy_uj"]
        self.process = subprocess.Popen([sys.executable, "-c", COUNTING, str(WATTS), *map(str, files)])
        while not all(file.exists() for file in files):
            time.sleep(0.01)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    """This machine with RAPL, as zeus itself reads it."""
    rapl = pytest.importorskip("zeus.device.cpu.rapl")
    cpus = pytest.importorskip("zeus.device.cpu")
    root = tmp_path / "intel-rapl"
    made = Counter(root)
    monkeypatch.setattr(rapl, "RAPL_DIR", str(root))
    monkeypatch.setattr(cpus, "_cpus", None)
    rapl.rapl_is_available.cache_clear()
    monkeypatch.setattr(energy, "_METERS", {"gpu": ("/nowhere",), "cpu": (str(root),)})
    yield made
    made.stop()
    rapl.rapl_is_available.cache_clear()


def test_joules_are_those_of_the_counters(counter: Counter) -> None:
    with energy.Meter().window() as window:
        time.sleep(0.5)
    found = window.energy
    assert found.seconds == pytest.approx(0.5, abs=0.1)
    assert set(found.sources) == {"cpu 0", "dram 0"}
    assert found.sources["cpu 0"] == pytest.approx(WATTS * found.seconds, rel=0.2)
    assert found.sources["dram 0"] == pytest.approx(WATTS * found.seconds / 4, rel=0.2)
    assert found.joules == pytest.approx(1.25 * WATTS * found.seconds, rel=0.2)
    assert (found.to_dict()["method"], found.unmeasured) == ("measured", [])


def test_a_counter_that_stands_still_has_measured_nothing(counter: Counter) -> None:
    counter.stop()
    with energy.Meter().window() as window:
        pass
    assert window.energy.joules is None
    assert window.energy.unmeasured == ["cpu 0", "dram 0"]


def test_a_meter_that_may_not_be_read_is_null_and_stops_nothing(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = pytest.importorskip("zeus.monitor")

    def refused(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("driver and library versions differ")

    monkeypatch.setattr(monitor, "ZeusMonitor", refused)
    with energy.Meter().window() as window:
        pass
    assert window.energy.to_dict()["joules"] is None


def test_without_a_meter_there_are_seconds_and_nulls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "_METERS", {"gpu": ("/nowhere",), "cpu": ("/nowhere",)})
    with energy.metering(), energy.window() as window:
        time.sleep(0.05)
    assert window.energy.seconds == pytest.approx(0.05, abs=0.04)
    found = window.energy.to_dict()
    assert (found["joules"], found["method"]) == (None, None)
    assert found["sources"] == {"cpu": None, "dram": None}


def test_a_machine_with_a_gpu_that_nothing_reads_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "_METERS", {"gpu": ("/",), "cpu": ("/nowhere",)})
    assert energy._sources(None) == {"cpu": None, "dram": None, "gpu": None}


def test_short_work_is_repeated_under_a_meter_and_done_once_without(counter: Counter) -> None:
    calls = 0

    def work() -> int:
        nonlocal calls
        calls += 1
        time.sleep(0.02)
        return calls

    assert energy.each(work)[0] == 1
    with energy.metering():
        last, one = energy.each(work)
    assert last > 10
    assert one.joules == pytest.approx(1.25 * WATTS * one.seconds, rel=0.2)
    assert 0.02 < one.seconds < 0.06


def test_costs_of_predictions() -> None:
    found = energy.of_predictions(7.0, Energy(2.0, {"cpu 0": 30.0, "dram 0": None}), 500, 400)
    assert found == {
        "joules_per_training": 7.0,
        "joules_per_1000_predictions": 60.0,
        "joules_per_correct_prediction": 0.075,
        "seconds_per_1000_predictions": 4.0,
    }
    unknown = energy.of_predictions(None, Energy(2.0), 500, 0)
    assert set(unknown.values()) == {None, 4.0}


def test_quantum_and_classical_heads_are_metered_alike(counter: Counter) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=80)
    x = (rng.normal(size=(80, 8)) + y[:, None]).astype(np.float32)
    splits = [few_shot_split(y, per_class=20, seed=seed) for seed in range(2)]
    model = HybridHead(8, 2, runs=2)
    with energy.metering():
        rows = [evaluation.hybrid_row(model, x, y, splits, 1.0, joules=10.0)]
        rows += evaluation.baseline_rows(x, y, splits, range(2), 100)
    assert rows[0]["energy"]["joules_per_training"] == 5.0
    for row in rows:
        cost = row["energy"]
        assert cost["joules_per_1000_predictions"] is not None, row
        watts = cost["joules_per_1000_predictions"] / cost["seconds_per_1000_predictions"]
        assert watts == pytest.approx(1.25 * WATTS, rel=0.2), row["method"]
        each = [cost["joules_per_1000_predictions"] / (1000 * v) for v in row["accuracy"]["values"]]
        assert 0.7 * min(each) < cost["joules_per_correct_prediction"] < 1.4 * max(each)
    # Without a meter the same figures are null, and the time stays.
    bare = evaluation.hybrid_row(model, x, y, splits, 1.0)["energy"]
    assert bare.pop("seconds_per_1000_predictions") > 0
    assert set(bare.values()) == {None}


def cli(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hilbertune", "energy", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_command_is_run_as_it_is_and_its_exit_code_kept() -> None:
    script = "import sys; print(sys.argv[1:]); sys.exit(3)"
    done = cli("measure", "--json", "--estimate-watts", "50", "--", sys.executable, "-c", script, "--json", "-x")  # fmt: skip
    assert done.returncode == 3
    said, figures = done.stdout.splitlines()
    assert said == "['--json', '-x']"
    found = json.loads(figures)
    assert found["estimate"]["joules"] == pytest.approx(50 * found["seconds"])
    assert found["estimate"]["method"].startswith("estimated")
    if not any(energy.present().values()):
        assert found["joules"] is None
    assert "estimate" not in json.loads(cli("measure", "--json", "--", "true").stdout)


def test_a_command_that_does_not_exist() -> None:
    with pytest.raises(HilbertuneError, match="Cannot run no-such-command"):
        energy.measure(["no-such-command"])


def test_a_study_knows_what_its_arms_cost_and_a_resumed_block_does_not(
    counter: Counter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hilbertune.report import page as report
    from hilbertune.study import configuration, plan, training
    from hilbertune.study import running as study

    text = """
seeds: 2
settings: {qubits: 4, encoder_layers: 1, epochs: 40, per_class: 20, projection: pca}
arms:
  - {name: quantum}
  - {method: MLP 48}
"""
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 2
    x = (rng.normal(size=(100, 12)) + labels[:, None]).astype(np.float32)
    data = plan.Data(x, labels, ["no", "yes"], "made up")
    (tmp_path / "s.yaml").write_text(text)
    asked = configuration.read_study(tmp_path / "s.yaml")
    right = training.train

    def longer(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.3)  # so that slow counters see it
        return right(*arguments, **options)

    def killed(*arguments: Any, **options: Any) -> Any:
        def stop(epoch: int, accuracy: float) -> None:
            if epoch > 10:
                raise KeyboardInterrupt

        return right(*arguments, **options | {"progress": stop, "checkpoint_seconds": 0.0})

    monkeypatch.setattr(training, "train", longer)
    with energy.metering():
        found = study.run_study(asked, data, tmp_path / "whole")
    for arm in found["arms"]:
        cost = arm["energy"]
        assert cost["joules_per_1000_predictions"] > 0
        assert cost["joules_per_correct_prediction"] > 0
    quantum = found["arms"][0]
    # A block of two runs slept 0.3 s and trained.
    assert quantum["energy_joules"] == quantum["energy"]["joules_per_training"]
    assert quantum["energy_joules"] > 0.9 * 1.25 * WATTS * 0.3 / 2
    page = report.write_report(tmp_path / "whole").read_text()
    assert "No energy was measured" not in page

    monkeypatch.setattr(training, "train", killed)
    with energy.metering(), pytest.raises(KeyboardInterrupt):
        study.run_study(asked, data, tmp_path / "half")
    monkeypatch.setattr(training, "train", longer)
    with energy.metering():
        found = study.run_study(asked, data, tmp_path / "half")
    assert found["arms"][0]["energy_joules"] is None
    assert found["arms"][0]["energy"]["joules_per_1000_predictions"] > 0
