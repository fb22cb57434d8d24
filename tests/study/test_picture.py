"""The picture of a fit shows every figure, readably, and refuses what it cannot write."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.pictures import BLUE, ORANGE, labels_in, pixels, share_of
from matplotlib.figure import Figure
from matplotlib.text import Text

from hilbertune.circuit.builders import ansatz, head
from hilbertune.errors import HilbertuneError
from hilbertune.study.picture import draw_fit


def fit(path: Path, **changes: Any) -> None:
    rng = np.random.default_rng(0)
    curve = rng.uniform(0.4, 0.6, (6, 3))
    curve[4:, 1] = np.nan
    names = ("train_loss", "validation_loss", "validation_accuracy")
    row = {"method": "hybrid quantum head", "kind": "quantum", "parameters": 1444, "seconds": 41.2}
    other = {"method": "RBF SVM", "kind": "classical", "parameters": None, "seconds": 0.25}
    arguments: dict[str, Any] = {
        "table": [
            {**row, "accuracy": {"mean": 0.868, "low": 0.86, "high": 0.876}},
            {**other, "accuracy": {"mean": 0.871, "low": None, "high": None}},
        ],
        "curves": dict.fromkeys(names, curve),
        "circuits": [("encoder", ansatz(3, 1)), ("head", head(3, reuploads=1, layers=1))],
        "expectations": rng.uniform(-1, 1, 50),
        "labels": np.arange(50) % 2,
        "classes": ["negative", "positive"],
        "title": "A fit",
    }
    draw_fit(path, **(arguments | changes))


def test_the_picture_of_a_fit_holds_every_figure(tmp_path: Path) -> None:
    fit(tmp_path / "fit.svg")
    found = labels_in(tmp_path / "fit.svg")
    assert {
        "A fit",
        "hybrid quantum head",
        "86.8 % · 1,444 parameters · 41 s",
        "87.1 % · 0.25 s",
        "test accuracy (%), mean and 95 % interval over seeds",
        "cross-entropy (nats)",
        "validation accuracy (%)",
        "epoch",
        "expectation ⟨Z⟩ of qubit 0 (from −1 to 1)",
        "rows",
        "negative",
        "positive",
        "encoder: 3 qubits, 6 weights",
        "head: 3 qubits, 12 weights",
    } <= found


def test_the_picture_of_a_fit_is_about_1600_pixels_wide(tmp_path: Path) -> None:
    fit(tmp_path / "fit.png")
    image = pixels(tmp_path / "fit.png")
    assert 1600 <= image.shape[1] <= 1750
    assert share_of(image, BLUE) > 0
    assert share_of(image, ORANGE) > 0


def test_texts_of_the_panels_do_not_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k))[1])
    row = {"method": "logistic regression, matched", "kind": "classical", "parameters": 11_444}
    accuracy = {"mean": 0.871, "low": 0.86, "high": 0.882}
    fit(tmp_path / "fit.png", table=[{**row, "seconds": 0.25, "accuracy": accuracy}] * 6)
    boxes = []
    for axes in figures[0].axes:
        texts = [*axes.texts, axes.title]
        for axis, (low, high) in (axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim()):
            place = "xy".index(axis.axis_name)
            ticks = [t for t in axis.get_ticklabels() if low <= t.get_position()[place] <= high]
            texts += [axis.label, *ticks] if axes.axison else []
        boxes += [(t.get_text(), Text.get_window_extent(t)) for t in texts if t.get_text().strip()]
    assert len(boxes) > 40
    for (name, one), (other, two) in itertools.combinations(boxes, 2):
        assert not one.overlaps(two), f"{name!r} overlaps {other!r}"


def test_a_fit_without_tests_and_validation_has_a_picture(tmp_path: Path) -> None:
    nothing = np.full((1, 1), np.nan)
    curves = {"train_loss": np.full((1, 1), 0.7), "validation_loss": nothing}
    curves["validation_accuracy"] = nothing
    fit(tmp_path / "fit.svg", table=[], curves=curves)
    found = labels_in(tmp_path / "fit.svg")
    assert {"Nothing was tested", "training"} <= found
    assert "validation" not in found


def test_any_name_of_a_class_is_printed_as_it_is(tmp_path: Path) -> None:
    classes = ["_hidden", "$5$ $", "x" * 40, *range(6)]
    fit(tmp_path / "fit.svg", classes=classes, labels=np.arange(50) % 9, title="$a$ _ $")
    found = labels_in(tmp_path / "fit.svg")
    assert {"_hidden", "$5$ $", "x" * 23 + "…", "true class (first 5 of 9)", "$a$ _ $"} <= found


def test_a_fit_refuses_an_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(HilbertuneError, match="must end in"):
        fit(tmp_path / "fit.txt")
    assert list(tmp_path.iterdir()) == []
