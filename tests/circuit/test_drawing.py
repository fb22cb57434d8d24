"""Drawings: text against literal pictures, images against what can be read back from them."""

import itertools
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from hilbertune.circuit.builders import ansatz, head
from hilbertune.circuit.drawing import draw_image, draw_on, draw_text
from hilbertune.circuit.table import Circuit, Operation
from hilbertune.errors import HilbertuneError
from hilbertune.study.picture import draw_fit

# Text


def test_a_small_ansatz_is_drawn_gate_by_gate() -> None:
    assert draw_text(ansatz(2, 1, 1)) == "\n".join(
        [
            "q0: ─●────────⊕─RY(w1)─RY(w2)─",
            "     │        │",
            "q1: ─⊕─RY(w0)─●─RY(w3)────────",
        ]
    )


def test_a_cnot_crosses_the_wires_between() -> None:
    circuit = Circuit(3, (Operation("ry", 1, input=0), Operation("cx", 0, 2), Operation("ry", 2, weight=10)))
    assert draw_text(circuit) == "\n".join(
        [
            "q0: ────────⊕─────────",
            "            │",
            "q1: ─RY(x0)─┼─────────",
            "            │",
            "q2: ────────●─RY(w10)─",
        ]
    )


def test_a_wide_circuit_folds_into_rows() -> None:
    circuit = Circuit(1, tuple(Operation("ry", 0, weight=w) for w in range(3)))
    assert draw_text(circuit, width=20) == "q0: ─RY(w0)─RY(w1)─\n\nq0: ─RY(w2)─"
    assert draw_text(circuit, width=1).count("\n\n") == 2  # a gate is never cut
    assert draw_text(circuit, width=None) == "q0: ─RY(w0)─RY(w1)─RY(w2)─"


def test_a_circuit_without_gates_is_bare_wires() -> None:
    assert draw_text(Circuit(1, ())) == "q0: ──"
    assert draw_text(Circuit(2, ())) == "q0: ──\n\nq1: ──"


def test_names_of_ten_wires_are_aligned() -> None:
    lines = draw_text(Circuit(11, ())).splitlines()
    assert lines[0] == " q0: ──"
    assert lines[20] == "q10: ──"


def test_blocks_stand_under_their_names() -> None:
    circuit = head(2, reuploads=1, reupload_layers=0, layers=1, column=False)
    assert draw_text(circuit, blocks=[("read", 2), ("main block", 4)]) == "\n".join(
        [
            "     read   main block",
            "q0: ─RY(x0)─●────────⊕─RY(w1)─",
            "            │        │",
            "q1: ─RY(x1)─⊕─RY(w0)─●────────",
        ]
    )


def test_a_long_name_pushes_the_next_block_away() -> None:
    circuit = Circuit(1, (Operation("ry", 0, weight=0), Operation("ry", 0, weight=1)))
    drawn = draw_text(circuit, blocks=[("a long name", 1), ("next", 1)])
    assert drawn == "     a long name next\nq0: ─RY(w0)──────RY(w1)─"


def test_blocks_must_hold_every_operation() -> None:
    with pytest.raises(HilbertuneError, match="exactly the circuit's 4 operations"):
        draw_text(ansatz(2, 1, 1, column=False), blocks=[("half", 2)])


@st.composite
def circuits(draw: st.DrawFn) -> Circuit:
    qubits = draw(st.integers(1, 5))
    numbers = itertools.count()
    operations = []
    for kind in draw(st.lists(st.sampled_from(["w", "x", "cx"][: 3 if qubits > 1 else 2]))):
        if kind == "cx":
            control, target = draw(st.permutations(range(qubits)))[:2]
            operations.append(Operation("cx", target, control))
        else:
            name = "weight" if kind == "w" else "input"
            operations.append(Operation("ry", draw(st.integers(0, qubits - 1)), **{name: next(numbers)}))
    return Circuit(qubits, tuple(operations))


@given(circuits(), st.none() | st.integers(20, 120))
def test_every_gate_is_in_the_text(circuit: Circuit, width: int | None) -> None:
    text = draw_text(circuit, width=width)
    cnots = circuit.counts()["two_qubit_gates"]
    assert text.count("●") == text.count("⊕") == cnots
    for operation in circuit.operations:
        if operation.kind == "ry":
            wire = f"q{operation.target}: "
            found = [line for line in text.splitlines() if f"RY({operation.label})" in line]
            assert len(found) == 1, f"{operation.label} is drawn {len(found)} times"
            assert found[0].startswith(wire)
    assert width is None or max(map(len, text.splitlines())) <= width


@given(circuits())
def test_all_wires_of_a_row_end_together(circuit: Circuit) -> None:
    lines = draw_text(circuit, width=None).splitlines()
    assert len({len(line) for line in lines[::2]}) == 1


# Images


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int64)


def share_of(image: np.ndarray, colour: tuple[int, int, int]) -> float:
    return float((np.abs(image - colour).max(axis=2) < 8).mean())


BLUE, ORANGE = (0x56, 0xB4, 0xE9), (0xE6, 0x9F, 0x00)


def test_a_png_shows_weights_and_inputs_in_their_colours(tmp_path: Path) -> None:
    draw_image(head(3), tmp_path / "head.png", title="head", measured=[0])
    image = pixels(tmp_path / "head.png")
    assert share_of(image, BLUE) > 0.02
    assert share_of(image, ORANGE) > 0.01
    assert image.shape[1] > 800
    draw_image(ansatz(3, 1), tmp_path / "ansatz.png")
    assert share_of(pixels(tmp_path / "ansatz.png"), ORANGE) == 0


def test_a_png_changes_when_a_gate_or_a_measurement_does(tmp_path: Path) -> None:
    first, second = Operation("cx", 1, 0), Operation("cx", 0, 1)
    for name, operation in {"a": first, "b": second, "again": first}.items():
        draw_image(Circuit(2, (operation,)), tmp_path / f"{name}.png", measured=[0])
    draw_image(Circuit(2, (first,)), tmp_path / "c.png", measured=[1])
    a, b, again, c = (pixels(tmp_path / f"{name}.png") for name in ("a", "b", "again", "c"))
    assert (a == again).all()
    assert (a != b).any()
    assert (a != c).any()


@pytest.mark.parametrize("circuit", [Circuit(1, ()), ansatz(1, 0), Circuit(3, ())])
def test_the_smallest_circuits_can_be_drawn(circuit: Circuit, tmp_path: Path) -> None:
    draw_image(circuit, tmp_path / "bare.png", title="A title much wider than the circuit is long")
    draw_image(circuit, tmp_path / "measured.png", measured=[0])
    assert (pixels(tmp_path / "bare.png") < 250).any()
    assert (pixels(tmp_path / "measured.png") < 250).any()


def test_a_long_circuit_is_folded_and_stays_in_bounds(tmp_path: Path) -> None:
    draw_image(ansatz(3, 30, 2), tmp_path / "long.png")
    height, width, _ = pixels(tmp_path / "long.png").shape
    assert 1 / 3 < height / width < 3


def labels_in(path: Path) -> set[str]:
    root = xml.etree.ElementTree.parse(path).getroot()
    return {"".join(e.itertext()).strip() for e in root.iter("{http://www.w3.org/2000/svg}text")}


def test_an_svg_holds_every_label_as_text(tmp_path: Path) -> None:
    circuit = head(3)
    draw_image(circuit, tmp_path / "head.svg", title="100 $ <&> a_b^c")
    found = labels_in(tmp_path / "head.svg")
    assert {o.label for o in circuit.operations if o.kind == "ry"} <= found
    assert {"q0", "q1", "q2", "100 $ <&> a_b^c", "RY by an input (data)"} <= found


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".png"])
def test_the_same_drawing_is_the_same_file(suffix: str, tmp_path: Path) -> None:
    for name in "ab":
        draw_image(ansatz(2, 1), tmp_path / f"{name}{suffix}")
    first = (tmp_path / f"a{suffix}").read_bytes()
    assert first == (tmp_path / f"b{suffix}").read_bytes()
    assert first.startswith({".svg": b"<?xml", ".pdf": b"%PDF", ".png": b"\x89PNG"}[suffix])


def test_gates_too_small_for_labels_are_drawn_without() -> None:
    small, large = (Figure(figsize=(inches, inches)).add_subplot() for inches in (2, 20))
    for axes in (small, large):
        draw_on(axes, ansatz(5, 3, 2))
    assert [text.get_text() for text in small.texts][:2] == ["q0", "q4"]
    assert not any(text.get_text().startswith("w") for text in small.texts)
    assert "w34" in [text.get_text() for text in large.texts]


def test_drawing_leaves_pyplot_alone(tmp_path: Path) -> None:
    from matplotlib import pyplot

    before = dict(pyplot.rcParams)
    draw_image(ansatz(2, 1), tmp_path / "a.svg")
    assert pyplot.get_fignums() == []
    assert dict(pyplot.rcParams) == before


def test_a_bad_request_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(HilbertuneError, match=r"must end in .png, .svg, .pdf, not 'a.gif'"):
        draw_image(ansatz(2, 1), tmp_path / "a.gif")
    with pytest.raises(HilbertuneError, match="Qubit 2 cannot be measured: there are 2"):
        draw_image(ansatz(2, 1), tmp_path / "a.png", measured=[0, 2])
    assert list(tmp_path.iterdir()) == []


def test_a_failed_drawing_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"old")

    def fail(_: Figure, file: Any, **options: Any) -> None:
        file.write(b"half")
        raise RuntimeError

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(RuntimeError):
        draw_image(ansatz(2, 1), tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"


# The picture of a fit


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
        boxes += [(t.get_text(), t.get_window_extent()) for t in texts if t.get_text().strip()]
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
    assert {"_hidden", "$5$ $", "x" * 23 + "…", "true class (first 7 of 9)", "$a$ _ $"} <= found


def test_a_fit_refuses_an_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(HilbertuneError, match="must end in"):
        fit(tmp_path / "fit.txt")
    assert list(tmp_path.iterdir()) == []
