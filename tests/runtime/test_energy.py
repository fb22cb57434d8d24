"""Joules come from meters, never from guesses: zeus on counters that a test turns, and a machine without any."""

import json
import subprocess
import sys
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


TICK = 1 / 64
"""Seconds by which a clock that ticks moves each time it is read."""


class Clock:
    """A clock that runs only as it is told, or by a tick each time it is read; its counters run with it."""

    def __init__(self) -> None:
        self.seconds = self.tick = 0.0
        self.counters: dict[Path, float] = {}

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds
        for file, watts in self.counters.items():
            new = file.with_suffix(".new")
            new.write_text(f"{1_000_000 + round(1e6 * watts * self.seconds)}\n")
            new.replace(file)

    def perf_counter(self) -> float:
        self.run(self.tick)
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put a clock in the place of the one by which energy is measured, on a machine without meters."""
    made = Clock()
    monkeypatch.setattr(energy, "time", made)
    monkeypatch.setattr(energy, "_METERS", {"gpu": ("/nowhere",), "cpu": ("/nowhere",)})
    return made


@pytest.fixture
def rapl(clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Add RAPL's files of a package (WATTS) and its memory (a quarter of that), as zeus itself reads them."""
    module = pytest.importorskip("zeus.device.cpu.rapl")
    cpus = pytest.importorskip("zeus.device.cpu")
    root = tmp_path / "intel-rapl"
    package = root / "intel-rapl:0"
    memory = package / "intel-rapl:0:0"
    memory.mkdir(parents=True)
    for folder, name in ((package, "package-0"), (memory, "dram")):
        (folder / "name").write_text(f"{name}\n")
        (folder / "max_energy_range_uj").write_text("262143328850\n")
    clock.counters = {package / "energy_uj": WATTS, memory / "energy_uj": WATTS / 4}
    clock.run(0)
    monkeypatch.setattr(module, "RAPL_DIR", str(root))
    monkeypatch.setattr(cpus, "_cpus", None)
    module.rapl_is_available.cache_clear()
    monkeypatch.setattr(energy, "_METERS", {"gpu": ("/nowhere",), "cpu": (str(root),)})
    yield clock
    module.rapl_is_available.cache_clear()


def test_joules_are_those_of_the_counters(rapl: Clock) -> None:
    rapl.run(3)
    with energy.Meter().window() as window:
        rapl.run(0.5)
    rapl.run(3)
    measured = window.energy
    assert measured.seconds == 0.5
    assert measured.sources == pytest.approx({"cpu 0": 0.5 * WATTS, "dram 0": 0.125 * WATTS})
    assert measured.joules == pytest.approx(0.625 * WATTS)
    assert (measured.to_dict()["method"], measured.unmeasured) == ("measured", [])


def test_windows_may_overlap(rapl: Clock) -> None:
    meter = energy.Meter()
    with meter.window() as outer:
        rapl.run(1)
        with meter.window() as inner:
            rapl.run(2)
    assert (inner.energy.seconds, outer.energy.seconds) == (2, 3)
    assert inner.energy.joules == pytest.approx(2 * 1.25 * WATTS)
    assert outer.energy.joules == pytest.approx(3 * 1.25 * WATTS)


def test_a_block_that_fails_leaves_the_meter_usable(rapl: Clock) -> None:
    meter = energy.Meter()
    with pytest.raises(KeyboardInterrupt), meter.window():
        raise KeyboardInterrupt
    with meter.window() as window:
        rapl.run(1)
    assert window.energy.joules == pytest.approx(1.25 * WATTS)


def test_a_counter_that_stands_still_has_measured_nothing(rapl: Clock) -> None:
    rapl.counters = {}
    with energy.Meter().window() as window:
        rapl.run(1)
    assert window.energy.seconds == 1
    assert window.energy.joules is None
    assert window.energy.unmeasured == ["cpu 0", "dram 0"]


@pytest.mark.usefixtures("rapl")
def test_a_meter_that_may_not_be_read_is_null_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = pytest.importorskip("zeus.monitor")

    def refused(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("driver and library versions differ")

    monkeypatch.setattr(monitor, "ZeusMonitor", refused)
    with energy.Meter().window() as window:
        pass
    assert window.energy.to_dict()["joules"] is None


def test_without_a_meter_there_are_seconds_and_nulls(clock: Clock) -> None:
    with energy.metering(), energy.window() as window:
        clock.run(0.25)
    figures = window.energy.to_dict()
    assert figures["seconds"] == 0.25
    assert (figures["joules"], figures["method"]) == (None, None)
    assert figures["sources"] == {"cpu": None, "dram": None}


def test_a_machine_with_a_gpu_that_nothing_reads_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "_METERS", {"gpu": ("/",), "cpu": ("/nowhere",)})
    assert energy._sources(None) == {"cpu": None, "dram": None, "gpu": None}


def test_short_work_is_repeated_under_a_meter_and_done_once_without(rapl: Clock) -> None:
    calls = 0

    def work() -> int:
        nonlocal calls
        calls += 1
        rapl.run(0.125)
        return calls

    assert energy.each(work) == (1, Energy(0.125))
    with energy.metering():
        last, one = energy.each(work)
    assert last == 1 + energy.MINIMUM_SECONDS / 0.125
    assert one.seconds == 0.125
    assert one.joules == pytest.approx(1.25 * WATTS * 0.125)
    assert energy.each(work, minimum=0.25)[0] == last + 2


def test_costs_of_predictions() -> None:
    costs = energy.of_predictions(7.0, Energy(2.0, {"cpu 0": 30.0, "dram 0": None}), 500, 400)
    assert costs == {
        "joules_per_training": 7.0,
        "joules_per_1000_predictions": 60.0,
        "joules_per_correct_prediction": 0.075,
        "seconds_per_1000_predictions": 4.0,
    }
    unknown = energy.of_predictions(None, Energy(2.0), 500, 0)
    assert set(unknown.values()) == {None, 4.0}


def test_quantum_and_classical_heads_are_metered_alike(rapl: Clock) -> None:
    rapl.tick = TICK
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
        # The meter is read a tick before the clock.
        assert 1.25 * WATTS < watts < 1.1 * 1.25 * WATTS, row["method"]
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
    asked = ["measure", "--json", "--estimate-watts", "50"]
    done = cli(*asked, "--", sys.executable, "-c", script, "--json", "-x")
    assert done.returncode == 3
    assert "['--json', '-x']" in done.stderr.splitlines()  # stdout is one JSON object and nothing else
    cost = json.loads(done.stdout)
    assert cost["estimate"]["joules"] == pytest.approx(50 * cost["seconds"])
    assert cost["estimate"]["method"].startswith("estimated")
    if not any(energy.present().values()):
        assert cost["joules"] is None
    assert "estimate" not in json.loads(cli("measure", "--json", "--", "true").stdout)
    assert cli("measure", "--", "echo", "hello").stdout.startswith("hello\n")


def test_a_command_that_does_not_exist() -> None:
    with pytest.raises(HilbertuneError, match="Cannot run no-such-command"):
        energy.measure(["no-such-command"])


@pytest.mark.slow
def test_a_study_knows_what_its_arms_cost_and_a_resumed_block_does_not(
    rapl: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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

    rapl.tick = TICK

    def longer(*arguments: Any, **options: Any) -> Any:
        rapl.run(0.3)
        return right(*arguments, **options)

    def killed(*arguments: Any, **options: Any) -> Any:
        def stop(epoch: int, accuracy: float) -> None:
            if epoch > 10:
                raise KeyboardInterrupt

        return right(*arguments, **options | {"progress": stop, "checkpoint_seconds": 0.0})

    monkeypatch.setattr(training, "train", longer)
    with energy.metering():
        results = study.run_study(asked, data, tmp_path / "whole")
    for arm in results["arms"]:
        cost = arm["energy"]
        assert cost["joules_per_1000_predictions"] > 0
        assert cost["joules_per_correct_prediction"] > 0
    quantum = results["arms"][0]
    assert quantum["energy_joules"] == quantum["energy"]["joules_per_training"]
    # Half of a block of two runs; the meter is read a tick before the clock at its start.
    assert quantum["energy_joules"] == pytest.approx(1.25 * WATTS * (0.3 + 2 * TICK) / 2)
    page = report.write_report(tmp_path / "whole").read_text()
    assert "No energy was measured" not in page

    monkeypatch.setattr(training, "train", killed)
    with energy.metering(), pytest.raises(KeyboardInterrupt):
        study.run_study(asked, data, tmp_path / "half")
    monkeypatch.setattr(training, "train", longer)
    with energy.metering():
        results = study.run_study(asked, data, tmp_path / "half")
    assert results["arms"][0]["energy_joules"] is None
    assert results["arms"][0]["energy"]["joules_per_1000_predictions"] > 0
