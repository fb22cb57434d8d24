"""The reader of the OpenQASM 3 that our own circuits are written in, which needs no other package.

In: a text.
Out: its qubits and operations, or None for a text of others, which Qiskit reads.
"""

import math
import re
from collections.abc import Sequence

from hilbertune.circuit.kinds import KINDS, Operation

_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_GATE = re.compile(r"(\w+)(?:\(([^()]*)\))? (q\[\d+\](?:, q\[\d+\]){0,2});")
_ANGLE = re.compile(rf"(?:(?:({_NUMBER}) \* )?([wx])(\d{{1,9}})(?: \+ ({_NUMBER}))?|({_NUMBER}))")
_QUBITS = re.compile(r"qubit\[(\d{1,9})\] q;")
_SILENT = re.compile(
    r'OPENQASM 3\.0;|include "stdgates\.inc";|input float\[64\] [wx]\d+;|bit\[\d+\] c;|c\[\d+\] = measure q\[\d+\];|'
)


def definitions(kinds: Sequence[str]) -> list[str]:
    """Return the lines that define those of the kinds that OpenQASM 3's stdgates lack."""
    lines = []
    for kind in (KINDS[name] for name in kinds if KINDS[name].definition):
        own = ", ".join(f"q{place}" for place in range(kind.qubits))
        lines.append(f"gate {kind.qasm}{'(a)' if kind.angle else ''} {own} {{ {kind.definition} }}")
    return lines


def read(text: str) -> tuple[int, tuple[Operation, ...]] | None:
    """Return the qubits and the operations of a text in the form that `Circuit.to_qasm3` writes, else None."""
    ours = {kind.qasm: name for name, kind in KINDS.items()}
    known = set(definitions(list(KINDS)))
    qubits: list[int] = []
    operations: list[Operation] = []
    for line in map(str.strip, text.splitlines()):
        if found := _QUBITS.fullmatch(line):
            qubits.append(int(found[1]))
        elif found := _GATE.fullmatch(line):
            operation = _operation(ours.get(found[1]), found[2], [int(q) for q in re.findall(r"\d+", found[3])])
            if operation is None:
                return None
            operations.append(operation)
        elif line not in known and not _SILENT.fullmatch(line):
            return None
    return (qubits[0], tuple(operations)) if len(qubits) == 1 else None


def _operation(kind: str | None, angle: str | None, on: Sequence[int]) -> Operation | None:
    """Return a gate on qubits, controls first, or None where it is not written as ours are."""
    if kind is None or len(on) != KINDS[kind].qubits or (angle is not None) != KINDS[kind].angle:
        return None
    others = {"control": on[0]} if len(on) > 1 else {}
    others |= {"other": on[1]} if len(on) > 2 else {}
    if angle is None:
        return Operation(kind, on[-1], **others)
    found = _ANGLE.fullmatch(angle)
    if found is None:
        return None
    scale, letter, number, offset, fixed = found.groups()
    values = [float(text) for text in (scale, offset, fixed) if text is not None]
    if not all(map(math.isfinite, values)):
        return None
    if fixed is not None:
        return Operation(kind, on[-1], **others, offset=float(fixed))
    return Operation(
        kind,
        on[-1],
        **others,
        **{"weight" if letter == "w" else "input": int(number)},
        scale=1.0 if scale is None else float(scale),
        offset=None if offset is None else float(offset),
    )
