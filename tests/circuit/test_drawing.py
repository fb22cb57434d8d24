"""Drawings: text against literal pictures, images against what can be read back from them."""

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.pictures import BLUE, ORANGE, labels_in, pixels, share_of
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from hilbertune.circuit.builders import ansatz, head
from hilbertune.circuit.drawing import draw_image, draw_on, draw_text
from hilbertune.circuit.kinds import KINDS, Operation
from hilbertune.circuit.table import Circuit
from hilbertune.errors import HilbertuneError


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


def test_a_png_shows_weights_and_inputs_in_their_colours(tmp_path: Path) -> None:
    draw_image(head(3), tmp_path / "head.png", title="head", measured=[0])
    image = pixels(tmp_path / "head.png")
    assert share_of(image, BLUE) > 0.02
    assert share_of(image, ORANGE) > 0.005
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
    draw_image(ansatz(6, 3, 5), tmp_path / "long.png")
    height, width, _ = pixels(tmp_path / "long.png").shape
    assert 1 / 3 < height / width < 3


def test_an_svg_holds_every_label_as_text(tmp_path: Path) -> None:
    circuit = head(3, reuploads=1)
    draw_image(circuit, tmp_path / "head.svg", title="100 $ <&> a_b^c")
    found = labels_in(tmp_path / "head.svg")
    assert {o.label for o in circuit.operations if o.kind == "ry"} <= found
    assert {"q0", "q1", "q2", "100 $ <&> a_b^c", "angle: an input (data)"} <= found


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".png"])
def test_the_same_drawing_is_the_same_file(suffix: str, tmp_path: Path) -> None:
    for name in "ab":
        draw_image(ansatz(2, 1), tmp_path / f"{name}{suffix}")
    first = (tmp_path / f"a{suffix}").read_bytes()
    assert first == (tmp_path / f"b{suffix}").read_bytes()
    assert first.startswith({".svg": b"<?xml", ".pdf": b"%PDF", ".png": b"\x89PNG"}[suffix])


def test_gates_too_small_for_labels_are_drawn_without() -> None:
    small, large = (Figure(figsize=(inches, inches)).add_subplot() for inches in (1.5, 20))
    for axes in (small, large):
        draw_on(axes, ansatz(5, 2, 2))
    assert [text.get_text() for text in small.texts if text.get_text().startswith("q")][:2] == ["q0", "q4"]
    assert not any(text.get_text().startswith("w") for text in small.texts)
    assert "w24" in [text.get_text() for text in large.texts]


def test_a_repeated_block_is_drawn_once_in_a_frame(tmp_path: Path) -> None:
    draw_image(head(4), tmp_path / "head.svg", measured=[0])
    found = labels_in(tmp_path / "head.svg")
    assert "× 4, new weights" in found
    assert {"w0", "w7", "w32", "w43", "x3"} <= found
    assert not {f"w{weight}" for weight in range(8, 32)} & found


def test_rows_say_that_they_go_on_and_long_circuits_what_is_left_out(tmp_path: Path) -> None:
    circuit = ansatz(6, 3, 5)
    draw_image(circuit, tmp_path / "long.svg")
    found = labels_in(tmp_path / "long.svg")
    left_out = [text for text in found if text.startswith("⋯ ")]
    assert len(left_out) == 1
    assert {"q0", "q0 ⋯", "⋯"} <= found


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_gate_is_drawn(kind: str) -> None:
    about = KINDS[kind]
    angle: dict[str, Any] = {"weight": 0, "scale": 2.0} if about.angle else {}
    places = dict(zip(("control", "other")[: about.qubits - 1], (0, 1), strict=False))
    circuit = Circuit(3, (Operation(kind, 2, **places, **angle),))
    (axes,) = circuit.draw().axes
    texts = [text.get_text() for text in axes.texts if not text.get_text().startswith("q")]
    boxes = [symbol for symbol in about.symbols[: about.qubits] if symbol not in ("●", "⊕", "×")]
    assert len(texts) == len(boxes)
    assert all("2·w0" in text for text in texts[:1] if about.angle)
    assert all(symbol in "".join(texts) or kind == "ry" for symbol in boxes)


def test_a_notebook_shows_a_circuit_as_a_drawing_or_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = ansatz(2, 1)
    figure = circuit.draw(title="two qubits", measured=[1])
    assert isinstance(figure, Figure)
    assert figure.get_suptitle() == "two qubits"
    shown = circuit._repr_html_()
    assert shown.startswith('<div style="overflow-x: auto"><svg')
    assert ">w0<" in shown
    assert "prefers-color-scheme" not in shown  # a notebook has a ground of its own
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert circuit._repr_html_() == f"<pre>{draw_text(circuit)}</pre>"
    with pytest.raises(HilbertuneError, match=r"'matplotlib': run pip install 'hilbertune\[plot\]'\.$"):
        circuit.draw()


def test_drawing_leaves_pyplot_alone(tmp_path: Path) -> None:
    from matplotlib import pyplot

    before = dict(pyplot.rcParams)
    draw_image(ansatz(2, 1), tmp_path / "a.svg")
    assert pyplot.get_fignums() == []
    assert dict(pyplot.rcParams) == before


def test_a_bad_request_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(HilbertuneError, match=r"must end in .png, .svg, .pdf, not 'a.gif'"):
        draw_image(ansatz(2, 1), tmp_path / "a.gif")
    with pytest.raises(HilbertuneError, match="Qubit 2 cannot be measured: the circuit has 2 qubits"):
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
