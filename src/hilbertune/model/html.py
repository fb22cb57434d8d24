"""A head as HTML, for notebooks.

In: a `HybridHead`.
Out: a table of what it is, and its circuits as text, folded away. Colours are the page's own, light or dark.
"""

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hilbertune.circuit.builders import head_blocks, parts
from hilbertune.circuit.drawing import draw_text
from hilbertune.circuit.table import Circuit
from hilbertune.runtime.escaping import visible

if TYPE_CHECKING:
    from hilbertune.model.layers import HybridHead

MOST_GATES = 400
"""Gates of a circuit that is still drawn."""


def facts_table(facts: Mapping[str, object]) -> str:
    """Return a table of two columns; names and values are text, whatever they hold."""
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left">{html.escape(visible(name))}</th>'
        f'<td style="text-align:left">{html.escape(visible(value))}</td></tr>'
        for name, value in facts.items()
    )
    return f"<table>{rows}</table>" if rows else ""


def head_html(head: "HybridHead") -> str:
    """Return what a head is: widths, parameters, circuits."""
    shape, circuits = head.config, parts(head.config)
    facts: dict[str, object] = {"features → outputs": f"{head.features} → {head.outputs}"}
    for name, circuit in circuits.items():
        times = f"{shape.encoders} × " if name == "encoder" and shape.encoders > 1 else ""
        facts[name] = times + ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in circuit.counts().items())
    facts["trained parameters"] = f"{head.parameter_count:,}"
    if head.members > 1:
        facts["members"] = f"{head.members} heads, whose answers are averaged"
    elif head.runs > 1:
        facts["runs"] = f"{head.runs} models side by side"
    return f"<div>{facts_table(facts)}{''.join(_drawing(name, circuits[name]) for name in circuits)}</div>"


def _drawing(name: str, circuit: Circuit) -> str:
    """Return a circuit as text that unfolds; a long one is only counted."""
    if len(circuit.operations) > MOST_GATES:
        return ""
    blocks = [(block, span.stop - span.start) for block, span in head_blocks(circuit)] if name == "head" else None
    text = html.escape(draw_text(circuit, width=110, blocks=blocks))
    style = "overflow-x:auto;line-height:1.2"
    return f'<details><summary>{name}</summary><pre style="{style}">{text}</pre></details>'
