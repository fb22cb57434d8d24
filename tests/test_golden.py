"""Results from before the modules moved into packages: the same code on the same machine still makes the same bits.

On another processor, or with other releases of torch, Numba or NumPy, the last bits may differ: numbers must be close.
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from helpers import golden

from hilbertune import HybridClassifier
from hilbertune.study import Data, read_study, run_study

GOLDEN = Path(__file__).parent / "golden"
SAME_MACHINE = json.loads((GOLDEN / "machine.json").read_text())["processor"] == golden.processor()

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("golden")


@pytest.fixture
def made(folder: Path, run: Run) -> Path:
    """All of it made anew, once."""

    def command(*arguments: object) -> None:
        code, _, err = run(*arguments)
        assert code == 0, err

    if not (folder / "machine.json").exists():  # the last that is written
        golden.make(folder, command)
    return folder


def check_numbers(name: str, new: np.ndarray, old: np.ndarray) -> None:
    """Compare arrays: bit for bit on the machine that made the old ones, closely elsewhere."""
    assert new.shape == old.shape, name
    assert new.dtype == old.dtype, name
    if SAME_MACHINE:
        assert np.array_equal(new, old, equal_nan=True), name
    else:
        np.testing.assert_allclose(new, old, rtol=1e-3, atol=1e-3, err_msg=name)


def without_undefined_metrics(methods: dict[str, Any]) -> dict[str, Any]:
    """Return the figures as they were when a metric that the rows leave undefined was left out."""
    kept = {name: {k: v for k, v in own["metrics"].items() if v is not None} for name, own in methods.items()}
    return {name: {**own, "metrics": kept[name]} for name, own in methods.items()}


def check_table(new: Any, old: Any) -> None:
    """Compare JSON: equal on the machine that made the old one, numbers closely elsewhere."""
    if SAME_MACHINE:
        assert new == old
    elif isinstance(old, dict):
        assert new.keys() == old.keys()
        for key in old:
            check_table(new[key], old[key])
    elif isinstance(old, list):
        assert len(new) == len(old)
        for one, other in zip(new, old, strict=True):
            check_table(one, other)
    elif isinstance(old, float):
        assert new == pytest.approx(old, rel=0.05, abs=0.05)
    else:
        assert type(new) is type(old)


def test_trainings_a_study_and_a_ledger_are_those_of_before(made: Path) -> None:
    for name in (*golden.trainings(), "preset-command"):
        new, old = (safetensors.numpy.load_file(folder / f"{name}.safetensors") for folder in (made, GOLDEN))
        assert new.keys() == old.keys()
        for key in old:
            check_numbers(f"{name}: {key}", new[key], old[key])
    for name in ("study", "ledger"):
        new, old = (json.loads((folder / f"{name}.json").read_text()) for folder in (made, GOLDEN))
        check_table(new, old)
    for file in ("config.json", "README.md"):
        new, old = ((folder / "model-format-2" / file).read_text() for folder in (made, GOLDEN))
        assert file != "config.json" or json.loads(new) == json.loads(old)


def test_identities_of_runs_are_those_of_before(made: Path) -> None:
    """On every machine: whoever has an old table need not train again."""
    new, old = (json.loads((folder / "study.json").read_text()) for folder in (made, GOLDEN))
    assert [row[:4] for row in new["runs"]] == [row[:4] for row in old["runs"]]


def test_accuracies_are_those_that_the_changelog_names() -> None:
    """Whoever moves one makes it anew and says so under the coming version."""
    old = json.loads((GOLDEN / "accuracies.json").read_text())
    newest, *_ = re.findall(
        r"^- Golden results: ([^(]+) ", (GOLDEN.parents[1] / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert newest == ", ".join(f"{name} {accuracy:.4f}" for name, accuracy in old.items())
    for name, accuracy in golden.accuracies().items():
        # Other rounding may turn a row or two of the 50 and more.
        assert accuracy == pytest.approx(old[name], abs=0 if SAME_MACHINE else 0.04), name


def test_a_model_directory_of_format_2_loads_and_answers_as_before() -> None:
    model = HybridClassifier.from_pretrained(GOLDEN / "model-format-2")
    old = safetensors.numpy.load_file(GOLDEN / "exact.safetensors")
    for name, tensor in model.head_.state_dict().items():
        assert np.array_equal(tensor.numpy(), old[name])
    vectors, _ = golden.rows()
    assert model.predict(vectors).tolist() == old["predictions"].tolist()


def test_an_old_study_is_finished_without_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hilbertune.study import testing, training

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a finished run was done again")

    for module, name in ((training, "train"), (testing, "energy")):
        monkeypatch.setattr(module, name, refuse)
    shutil.copytree(GOLDEN / "study", tmp_path / "study")
    vectors, labels = golden.rows()
    data = Data(vectors, labels, [0, 1], "data.npz")
    results = run_study(read_study(GOLDEN / "study.yaml"), data, tmp_path / "study")
    old = json.loads((GOLDEN / "results.json").read_text())
    for part in ("arms", "comparisons"):
        assert without_intervals(json.loads(json.dumps(results[part]))) == without_intervals(old[part])  # type: ignore[literal-required]


def without_intervals(value: Any) -> Any:
    """Return results without the intervals that two seeds were once given, and without what is said for their lack."""
    if isinstance(value, dict):
        said = ("low", "high", "interval", "sentence", "testable")
        return {k: without_intervals(v) for k, v in value.items() if k not in said}
    return [without_intervals(v) for v in value] if isinstance(value, list) else value


def test_an_old_run_on_hardware_gives_its_results_from_the_ledger(tmp_path: Path, run: Run) -> None:
    shutil.copytree(GOLDEN / "qpu", tmp_path / "qpu")
    code, answer, err = run("qpu", "results", tmp_path / "qpu", "--json")
    assert code == 0, err
    new, old = json.loads(answer), json.loads((GOLDEN / "qpu" / "results.json").read_text())
    check_table(without_undefined_metrics(new["methods"]), old["methods"])
    check_table(new["expectation_error"], old["expectation_error"])
    assert new["ledger"]["batches"] == old["ledger"]["batches"]
