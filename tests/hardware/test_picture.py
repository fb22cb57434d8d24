"""The pictures of hardware: a run with its price, the break-even with what is extrapolated."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.pictures import collisions, labels_in

from hilbertune.hardware import picture
from hilbertune.hardware.results import calibration
from hilbertune.model.intervals import over_rows

ROWS = 120


def method(z: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Return the figures of answers whose expectations are z."""
    probabilities = np.stack([(1 + z) / 2, (1 - z) / 2], axis=1)
    predicted = probabilities.argmax(axis=1)
    matrix = [[int(((truth == t) & (predicted == p)).sum()) for p in (0, 1)] for t in (0, 1)]
    own = {"accuracy": over_rows(predicted == truth), "confusion": matrix}
    return {**own, "calibration": calibration(probabilities, truth)}


@pytest.fixture
def measured() -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, ROWS)
    exact = np.clip(np.where(truth, -0.5, 0.5) + random.normal(0, 0.4, ROWS), -1, 1)
    noisy = np.clip(0.85 * exact + random.normal(0, 0.08, ROWS), -1, 1)
    spent = {"circuits": ROWS, "shots": 64 * ROWS, "estimated": 310.5, "billed": 298.25, "unit": "usd"}
    figures = {
        "rows": ROWS,
        "backend": "qpu.forte-1",
        "shots": 64,
        "ledger": spent,
        "methods": {"exact": method(exact, truth), "hardware": method(noisy, truth)},
        "expectation_error": {"root_mean_square": 0.11, "from_shots_alone": 0.09},
    }
    return figures, exact[None, :, None], noisy[None, :, None]


def test_a_run_has_its_price_its_matrices_and_the_rows_of_its_calibration(
    measured: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    save = picture.save_figure
    monkeypatch.setattr(picture, "save_figure", lambda figure, path: (drawn.append(figure), save(figure, path)))
    figures, exact, noisy = measured
    picture.draw_hardware(figures, exact, noisy, tmp_path / "run.svg", ["$bad$", "good"])
    found = labels_in(tmp_path / "run.svg")
    assert "120 rows on qpu.forte-1" in found
    price = (
        "64 shots a circuit   ·   120 circuits, 7,680 shots in all   ·   estimated 310.50 USD   ·   billed 298.25 USD"
    )
    assert price in found
    matrix = figures["methods"]["hardware"]["confusion"]
    assert {"$bad$", "good", "hardware: true and predicted classes", *(str(n) for row in matrix for n in row)} <= found
    assert {f"{b['rows']:,}" for b in figures["methods"]["hardware"]["calibration"]["bins"]} <= found
    assert {"exact", "hardware"} <= found
    assert [c for c in collisions(drawn[0]) if "overlap" in c] == []


def test_a_run_of_numbers_on_a_simulator_has_neither_matrix_nor_bill(measured: Any, tmp_path: Path) -> None:
    figures, exact, noisy = measured
    figures |= {"backend": "local", "methods": {"exact": {}, "hardware": {}}, "ledger": {}}
    picture.draw_hardware(figures, exact, noisy, tmp_path / "run.svg")
    found = labels_in(tmp_path / "run.svg")
    assert "120 rows on local (a simulated device)" in found
    assert not any("USD" in text or "true and predicted" in text for text in found)


def test_a_fit_is_dashed_where_nothing_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(picture, "save_figure", lambda figure, path: drawn.append(figure))
    points = [{"qubits": q, "value": 2.0 ** (q - 20)} for q in (10, 14, 18)]
    fit = {"points": points, "log2_at_0": -20.0, "doublings_per_qubit": 1.0, "breakeven": None}
    report = {"simulators": {"ours": fit}, "qpu": None, "unit": "joules", "shots": 100, "claims": [{"qubits": 30}]}
    picture.draw_breakeven(report, tmp_path / "a.png")
    (axes,) = drawn[0].axes
    solid, dashed = (line for line in axes.lines if line.get_linestyle() != "None" and len(line.get_xdata()) > 2)
    assert solid.get_linestyle() == "-"
    assert dashed.get_linestyle() == "--"
    known = solid.get_xdata()[~np.isnan(solid.get_ydata())]
    assert 10 <= known.min() <= known.max() <= 18
    beyond = dashed.get_xdata()[~np.isnan(dashed.get_ydata())]
    assert ((beyond < 10) | (beyond > 18)).all()
    assert collisions(drawn[0]) == []
