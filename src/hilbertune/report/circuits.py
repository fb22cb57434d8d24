"""The figures of circuits: an encoder and the re-uploading head of the best quantum arm.

In: the results of a study with the configuration of a head.
Out: a `Figure`, or None where there is no such circuit.
"""

from typing import Any, Literal, NamedTuple

from hilbertune.circuit.builders import parts
from hilbertune.circuit.drawing import columns_shown, draw_on, gate_legend
from hilbertune.circuit.table import Circuit
from hilbertune.config.records import HeadConfig
from hilbertune.errors import require
from hilbertune.report.reading import best_first
from hilbertune.report.style import WIDTH, Figure
from hilbertune.report.words import number_text
from hilbertune.study.record import Results

LEAST = 8.0
"""Points of the smallest labels: at this width a phone shows them about as large."""

HEIGHT, LEGEND = 9.0, 0.35
"""Inches that a circuit may be high, and those of the legend above it."""


class Layout(NamedTuple):
    """The folding of a circuit: columns in a row, rows, and the inches of all gates."""

    columns: int
    rows: int
    size: tuple[float, float]


def circuit_figure(results: Results, part: Literal["encoder", "head"]) -> Figure | None:
    """Draw the circuit of the quantum arm that did best on validation."""
    ranked = best_first(arm for arm in results["arms"] if arm["kind"] == "quantum" and arm["head"])
    if not ranked or not ranked[0]["head"]:
        return None
    arm, circuits = ranked[0], parts(HeadConfig.from_dict(ranked[0]["head"]))
    if part not in circuits:
        return None
    circuit, measured = circuits[part], (0,) if part == "head" else ()
    layout = _layout(columns_shown(circuit, measured), circuit.qubits + 1)
    entangling = sum(o.control is not None for o in circuit.operations)
    facts = {
        "arm": arm["name"],
        "circuit": part,
        "qubits": circuit.qubits,
        "weights": circuit.parameters,
        "inputs": circuit.inputs,
        "operations": len(circuit.operations),
        "entangling gates": entangling,
        "columns": len(circuit.columns),
    }
    caption = (
        f"{arm['name']}: {circuit.qubits} qubits, {number_text(circuit.parameters)} weights, "
        f"{number_text(len(circuit.operations))} gates ({number_text(entangling)} CNOTs) "
        f"in {number_text(len(circuit.columns))} columns"
    )
    caption += f", in {layout.rows} rows to be read one after the other." if layout.rows > 1 else "."
    caption += " Amplitudes of the embedding are loaded first." if part == "encoder" else ""
    if ensemble := arm.get("ensemble"):
        caption += f" Each of the {ensemble['members']} heads has such a circuit, with weights of its own."
    title = "Circuit of an encoder" if part == "encoder" else "Circuit of the re-uploading head"
    return Figure(title, caption, _draw(circuit, measured, layout), [facts])


def _layout(total: int, lines: int) -> Layout:
    """Fold `total` columns of `lines` lines each so that gates come out largest."""

    def pitch(columns: int) -> float:
        """Return the inches between two columns or two wires if a row has that many columns."""
        return min(0.36, WIDTH / (columns + 3.2), HEIGHT / (-(-total // columns) * lines + 0.4))

    columns = max(range(1, total + 1), key=lambda c: (pitch(c), c))
    rows, inches = -(-total // columns), pitch(columns)
    return Layout(columns, rows, (inches * (-(-total // rows) + 3.2), inches * (rows * lines + 0.4)))


def _draw(circuit: Circuit, measured: tuple[int, ...], layout: Layout) -> Any:
    """Return a drawing of the circuit, of the common width, with the legend of its gates above it."""
    width, height = layout.size
    size = WIDTH, height + LEGEND
    drawing = require("matplotlib.figure", "study").Figure(figsize=size, dpi=100)
    axes = drawing.add_axes((0, 0, min(1, width / WIDTH), height / size[1]))
    draw_on(axes, circuit, measured=measured, columns=layout.columns, least=LEAST)
    gate_legend(drawing, [circuit], brief=True, loc="upper left")
    return drawing
