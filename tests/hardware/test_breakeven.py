"""Break-even: fits against known lines, crossings against algebra, intervals against repeated draws."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilbertune.errors import HilbertuneError
from hilbertune.hardware import breakeven, fits
from hilbertune.hardware.fits import Point
from hilbertune.hardware.ledger import Ledger

Run = Callable[..., tuple[int, str, str]]


def simulated(a: float, b: float, noise: float = 0.0, seed: int = 0) -> list[Point]:
    rng = np.random.default_rng(seed)
    return [Point(q, 2 ** (a + b * q + noise * rng.normal()), "test") for q in range(14, 23) for _ in range(2)]


def device(c: float, d: float, noise: float = 0.0, seed: int = 0) -> list[Point]:
    rng = np.random.default_rng(seed + 1)
    return [
        Point(q, s * (c + d * q) * (1 + noise * rng.normal()), "test", s)
        for q in (4, 8, 12, 20, 36)
        for s in (500, 2000)
    ]


@given(
    st.floats(-30, -10),
    st.floats(0.9, 1.3),
    st.floats(1e-4, 1),
    st.floats(1e-6, 1e-2),
    st.integers(100, 10_000),
)
@settings(max_examples=25, deadline=None)
def test_the_crossing_is_where_both_take_as_much(a: float, b: float, c: float, d: float, shots: int) -> None:
    simulator = fits.simulator_fit(simulated(a, b))
    qpu = fits.qpu_fit(device(c, d))
    np.testing.assert_allclose(simulator.coefficients, [a, b], rtol=1e-8)
    np.testing.assert_allclose(qpu.coefficients, [c, d], rtol=1e-6, atol=1e-12)
    place = fits.crossing(simulator, qpu, shots)["qubits"]
    assert isinstance(place, float)
    ratio = 2 ** (a + b * place) / (shots * (c + d * place))
    assert ratio == pytest.approx(1, rel=1e-6) or (place == 1.0 and ratio > 1)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    truth = fits.crossing(fits.simulator_fit(simulated(-20, 1.1)), fits.qpu_fit(device(0.002, 1e-4)), 1000)["qubits"]
    held, widths = 0, []
    for seed in range(60):
        found = fits.crossing(
            fits.simulator_fit(simulated(-20, 1.1, 0.3, seed)),
            fits.qpu_fit(device(0.002, 1e-4, 0.1, seed)),
            1000,
        )
        held += found["low"] <= truth <= found["high"]  # type: ignore[operator]
        widths.append(found["high"] - found["low"])  # type: ignore[operator]
    # 95 % of 60 are 57; 50 and fewer happen once in 3,000 times.
    assert held > 50
    assert 0.2 < np.mean(widths) < 10


def test_faster_simulation_moves_it_by_the_doublings() -> None:
    slow, fast = simulated(-20, 1.0), simulated(-23, 1.0)  # eight times as fast
    flat = device(0.01, 0.0)
    found = breakeven.report({"hilbertune": ("joules", fast), "pennylane": ("joules", slow)}, ("joules", flat), 1000)
    assert found["moved_by"] == pytest.approx(3.0, abs=1e-6)
    assert found["unit"] == "joules"
    assert not any("not energy" in note for note in found["notes"])
    assert [claim["qubits"] for claim in found["claims"]] == [46, 34]
    assert found["claims"][1]["simulated"]["hilbertune"] == pytest.approx(2**11)


def test_a_qpu_that_never_pays_and_one_that_always_does() -> None:
    # A "simulator" that does not grow, below and above the QPU.
    flat = fits.simulator_fit([Point(q, 1.0, "test") for q in (10, 12, 14)])
    assert fits.crossing(flat, fits.qpu_fit(device(1.0, 0.1)), 1000)["qubits"] is None
    assert fits.crossing(flat, fits.qpu_fit(device(1e-9, 0.0)), 1000)["qubits"] == 1.0


def test_two_points_have_no_interval() -> None:
    exact = fits.simulator_fit([Point(10, 1e-3, "a"), Point(20, 1.0, "a")])
    line = fits.qpu_fit([Point(4, 1.0, "a", 100), Point(8, 2.0, "a", 100)])
    found = fits.crossing(exact, line, 100)
    assert found["qubits"] is not None
    assert (found["low"], found["high"]) == (None, None)


def write(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("qubits,shots,joules", "4,100,1", "needs the columns qubits, shots, source"),
        ("qubits,shots,source", "4,100,me", "one of joules and seconds"),
        ("qubits,shots,joules,seconds,source", "4,100,1,1,me", "one of joules and seconds"),
        ("qubits,shots,joules,source", "4,100,1,", "line 2: say in 'source'"),
        ("qubits,shots,joules,source", "4,100,much,me", "line 2: a number is missing"),
        ("qubits,shots,joules,source", "4,100,nan,me", "line 2: numbers must be above 0"),
        ("qubits,shots,joules,source", "4,0,1,me", "line 2: numbers must be above 0"),
    ],
)
def test_figures_without_a_source_or_a_number_are_refused(tmp_path: Path, header: str, row: str, message: str) -> None:
    with pytest.raises(HilbertuneError, match=message):
        breakeven.read_figures(write(tmp_path / "a.csv", header, row), qpu=True)


def ledger(folder: Path, qubits: int, kwh: float | None) -> Path:
    book = Ledger(folder / "ledger.sqlite")
    book.plan("h", "qpu.forte-1", 2, 1000, (1, 1), 5.0, qubits)
    book.sending("h")
    book.sent("h", "job")
    book.keep("h", {0: {"0": 1.0}, 1: {"0": 1.0}})
    book.charge("job", 6.0, kwh)
    book.close()
    return folder


def test_joules_come_from_what_the_vendor_reports(tmp_path: Path) -> None:
    runs = [ledger(tmp_path / str(q), q, 0.001 * q) for q in (4, 8)]
    points = breakeven.read_ledgers(runs)
    assert [(p.qubits, p.shots) for p in points] == [(4, 1000), (8, 1000)]
    assert [p.value for p in points] == pytest.approx([4 * 1800, 8 * 1800])
    assert "reported by the vendor" in points[0].source
    with pytest.raises(HilbertuneError, match="No job in these ledgers has kilowatt-hours"):
        breakeven.read_ledgers([ledger(tmp_path / "none", 4, None)])
    with pytest.raises(HilbertuneError, match="has no ledger"):
        breakeven.read_ledgers([tmp_path])


def test_a_ledger_of_before_is_read(tmp_path: Path) -> None:
    import sqlite3

    ledger(tmp_path, 4, 0.5)
    with sqlite3.connect(tmp_path / "ledger.sqlite") as file:
        for column in ("qubits", "checks", "unit"):
            file.execute(f"ALTER TABLE batches DROP COLUMN {column}")
        for table in ("run", "attempts", "extras", "refused", "facts"):
            file.execute(f"DROP TABLE {table}")
        file.execute("PRAGMA user_version = 0")
    book = Ledger(tmp_path / "ledger.sqlite")
    assert (book.batches()[0].kwh, book.batches()[0].qubits) == (0.5, None)
    assert (book.committed(), book.jobs()) == (6.0, {"job": "h"}), "what was spent is known as before"
    book.close()


def test_the_simulator_is_measured_here_beside_pennylane(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("pennylane")
    qpu = write(
        tmp_path / "q.csv",
        "qubits,shots,seconds,source",
        "4,1000,1,lab book",
        "8,1000,2,lab book",
        "12,1000,3.1,lab book",
    )
    picture = tmp_path / "b.svg"
    words = [word for q in ("12", "14", "16") for word in ("--qubits", q)]
    code, out, err = run(
        "energy", "breakeven", "--qpu", str(qpu), *words, "--repeats", "2", "--plot", str(picture), "--json"
    )
    assert code == 0, err
    found = json.loads(out)
    ours, rival = (found["simulators"][name] for name in ("hilbertune", "pennylane"))
    assert (found["unit"], len(ours["points"])) == ("seconds", 6)
    assert any("not energy" in note for note in found["notes"])
    assert ours["breakeven"]["qubits"] > 8
    assert ours["at_widest"] > 0
    assert rival["at_widest"] > 0
    drawn = picture.read_text()
    for words in ("hilbertune,", "pennylane,", "simulated", "1,000 shots", "claim: 46", "claim: 34"):
        assert words in drawn


def test_without_a_qpu_there_is_no_crossing_and_none_is_made_up(run: Run, tmp_path: Path) -> None:
    figures = write(
        tmp_path / "s.csv", "qubits,joules,source", *(f"{q},{2.0 ** (q - 20)},a meter" for q in range(16, 22))
    )
    code, out, err = run("energy", "breakeven", "--simulator", str(figures))
    assert code == 0
    assert "break-even with the QPU" not in out
    assert "1.00 doublings a qubit" in out
    assert "1.64e+04 joules" in out  # at 34 qubits
    assert "none are assumed" in err


@pytest.mark.parametrize(
    ("qpu_unit", "message"),
    [("seconds", "One side is in joules and the other in seconds")],
)
def test_units_are_not_mixed(run: Run, tmp_path: Path, qpu_unit: str, message: str) -> None:
    figures = write(tmp_path / "s.csv", "qubits,joules,source", "10,1,me", "12,4,me")
    qpu = write(tmp_path / "q.csv", f"qubits,shots,{qpu_unit},source", "4,9,1,me", "8,9,2,me")
    code, _, err = run("energy", "breakeven", "--simulator", str(figures), "--qpu", str(qpu))
    assert code == 2
    assert message in err


def test_one_width_is_not_enough() -> None:
    with pytest.raises(HilbertuneError, match="at least two numbers of qubits"):
        fits.qpu_fit([Point(4, 1.0, "a", 10), Point(4, 1.1, "a", 10)])
    with pytest.raises(HilbertuneError, match="at least two numbers of qubits"):
        fits.simulator_fit([Point(4, 1.0, "a"), Point(4, 1.1, "a")])
