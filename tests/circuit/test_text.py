"""Our own reader of OpenQASM 3 reads what we write as Qiskit's does, and leaves the rest to that."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.circuits import random_circuit
from qiskit import qasm3
from qiskit.quantum_info import Statevector

from hilbertune.circuit.builders import head
from hilbertune.circuit.kinds import KINDS, Operation
from hilbertune.circuit.sources import circuit_text, with_texts
from hilbertune.circuit.table import Circuit
from hilbertune.circuit.text import read
from hilbertune.errors import HilbertuneError, MissingExtraError

LINES = """OPENQASM 3.0;
include "stdgates.inc";
input float[64] x0;
qubit[2] q;
h q[0];
cp(2.0 * x0 + -0.5) q[0], q[1];
"""

THEIRS = """OPENQASM 3;
include "stdgates.inc"; // data, then a trained angle
input float x_0; input float theta;
qubit[2] q;
rx(2*x_0 + pi/2) q[0];
ctrl @ ry(theta) q[0], q[1];
"""


@pytest.mark.parametrize("seed", range(6))
def test_a_text_of_ours_is_read_as_qiskit_reads_it(seed: int) -> None:
    """Qiskit sees `id`, and gates that stdgates lack, as what they are made of: these are compared by their state."""
    rng = np.random.default_rng(seed)
    standard = [name for name, kind in KINDS.items() if not kind.definition and name != "id"]
    circuit = random_circuit(rng, 4, 30, standard)
    text = circuit.to_qasm3(measured=(1, 0))
    assert Circuit.from_qiskit(qasm3.loads(text)).to_qasm3() == Circuit.from_qasm3(text).to_qasm3()
    circuit = random_circuit(rng, 4, 30)
    again = Circuit.from_qasm3(circuit.to_qasm3())
    assert again.to_qasm3() == circuit.to_qasm3()
    values = [rng.normal(size=n) for n in (circuit.parameters, circuit.inputs)]
    states = [Statevector(made) for made in (again.to_qiskit(*values), qasm3.loads(circuit.to_qasm3(*values)))]
    assert states[0].equiv(states[1])


def test_a_text_of_ours_needs_no_qiskit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qiskit", None)
    monkeypatch.setitem(sys.modules, "qiskit_qasm3_import", None)
    rows = Operation("h", 0), Operation("cp", 1, 0, input=0, scale=2.0, offset=-0.5)
    assert Circuit.from_qasm3(LINES) == Circuit(2, rows)
    assert Circuit.from_qasm3(head(12).to_qasm3()) == head(12)
    with pytest.raises(MissingExtraError, match="qiskit"):
        Circuit.from_qasm3(THEIRS)


@pytest.mark.parametrize(
    "line",
    [
        "rx(sin(x0)) q[0];",
        "rx(1e999) q[0];",
        "rx q[0];",
        "h(0.5) q[0];",
        "h q[0], q[1];",
        "u3(1, 2, 3) q[0];",
        "ry(theta) q[0];",
        "qubit[2] r;",
        "gate h q0 { x q0; }",
        "reset q[0];",
        "if (c[0]) x q[0];",
    ],
)
def test_what_is_not_as_ours_is_left_to_qiskit(line: str) -> None:
    assert read(LINES) is not None
    assert read(LINES + line) is None


def test_a_circuit_may_be_named_by_a_file_a_text_or_itself(tmp_path: Path) -> None:
    (tmp_path / "theirs.qasm").write_text(THEIRS)
    circuit = Circuit(2, (Operation("rx", 0, input=0, scale=2.0, offset=math.pi / 2), Operation("cry", 1, 0, weight=0)))
    text = circuit.to_qasm3()
    assert circuit_text(circuit) == circuit_text(THEIRS) == circuit_text(tmp_path / "theirs.qasm") == text
    assert circuit_text("theirs.qasm", tmp_path) == text
    given = {"head_circuit": ["theirs.qasm", None], "encoder_circuit": THEIRS, "qubits": 2}
    assert with_texts(given, tmp_path) == {"head_circuit": [text, None], "encoder_circuit": text, "qubits": 2}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "Cannot read the circuit .*c.qasm: No such file or directory"),
        (b"\xff", "Cannot read the circuit .*c.qasm: it is not text"),
        (b"qubit q", "c.qasm: This is not OpenQASM 3 that Qiskit reads"),
        (b"OPENQASM 3; qubit q; reset q;", "c.qasm: The gate 'reset' is not known"),
    ],
)
def test_a_file_that_holds_no_circuit_is_named(content: bytes | None, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "c.qasm"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(HilbertuneError, match=sentence):
        circuit_text(file)


def test_what_is_no_circuit_is_refused(unchecked: None) -> None:
    for source in (5, "", ["a.qasm"]):
        with pytest.raises(HilbertuneError, match=r"must be a hilbertune.Circuit, OpenQASM 3 text or the path"):
            circuit_text(source)  # type: ignore[arg-type]
