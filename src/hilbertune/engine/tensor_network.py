"""Heads that no state vector holds: expectations of up to 36 qubits by contraction, exact or with a stated truncation.

In: bound circuits (`hilbertune.circuit.binding`). Out: <Z> of their measured qubits; quimb contracts.
As an engine (`TensorNetwork`) it runs wide heads on a classical machine, and checks what hardware returned.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hilbertune.circuit.binding import BoundCircuit, bind
from hilbertune.circuit.gates import expanded, matrix
from hilbertune.circuit.kinds import KINDS
from hilbertune.circuit.table import Circuit
from hilbertune.errors import HilbertuneError, require

MEMORY = 4 << 30
"""Bytes of the largest tensor of an exact contraction."""


EASY = 22
"""log2 of a largest tensor for which the first contraction order will do; wider ones are worth a search."""


_Z = np.diag([1.0, -1.0])


@dataclass(frozen=True)
class Contraction:
    """The results and the costs of contractions.

    values: <Z> of the measured qubits.
    truncation: 1 - the estimated fidelity of each program's truncated state, 0 where nothing was truncated.
    width: the widest bond; where the contraction was exact, log2 of the largest tensor's entries.
    seconds: of all programs.
    """

    values: Float[np.ndarray, "programs measured"]
    truncation: Float[np.ndarray, " programs"]
    width: float
    seconds: float


def contract(
    programs: Sequence[BoundCircuit],
    *,
    bond: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Contraction:
    """Contract programs to their expectations.

    Args:
        programs: circuits with their angles. The cost of exact contraction grows with the tangle of their light cones,
            not as 2^qubits.
        bond: None is exact; else a matrix product state, qubits in a line in their order, whose bonds are cut to this
            dimension; its cost grows with the width of the bonds.
        progress: called after every program with how many are done.

    Raises:
        HilbertuneError: an exact contraction would need more than MEMORY bytes; the message names the way out.
        MissingExtraError: the extra `qpu` is not installed.
    """
    require("quimb", "qpu")
    started = time.monotonic()
    answers = []
    for done, program in enumerate(programs, 1):
        answers.append(_exact(program) if bond is None else _truncated(program, bond))
        progress(done)
    values, truncation, widths = zip(*answers, strict=True)
    return Contraction(np.array(values), np.array(truncation), max(widths), time.monotonic() - started)


def _exact(program: BoundCircuit) -> tuple[list[float], float, float]:
    circuit: Any = require("quimb.tensor", "qpu").Circuit(program.qubits)
    _apply(circuit, program)
    values, width = [], 0.0
    real = not any(gate.kind for gate in program.gates)
    dtype, size = ("float64", 8) if real else ("complex128", 16)
    # Quimb would divide by norms, and fail where one is 0, as at angles that are multiples of π/2.
    plain = {"simplify_equalize_norms": False}
    for qubit in program.measured:
        search: Any = "greedy"
        plan = circuit.local_expectation_rehearse(_Z, (qubit,), optimize=search, **plain)
        if plan["W"] > EASY:
            search = _search()
            plan = circuit.local_expectation_rehearse(_Z, (qubit,), optimize=search, **plain)
        width = max(width, float(plan["W"]))
        if size * 2**width > MEMORY:
            raise HilbertuneError(
                f"The exact contraction of {program.qubits} qubits needs a tensor of 2^{width:.0f} numbers: "
                "give bond=64 or another bond dimension."
            )
        with warnings.catch_warnings():
            # The imaginary parts that quimb drops are 0.
            warnings.simplefilter("ignore")
            value = circuit.local_expectation(_Z, (qubit,), optimize=search, dtype=dtype, **plain)
        values.append(float(np.real(value)))
    return values, 0.0, width


_SEARCHES: list[Any] = []


def _search() -> Any:
    """Return cotengra's search for a contraction order; one order serves every program of the same shape."""
    if not _SEARCHES:
        cotengra = require("cotengra", "qpu")
        _SEARCHES.append(
            cotengra.ReusableHyperOptimizer(
                methods=["greedy"],
                max_repeats=64,
                max_time=20,
                parallel=False,
                minimize="combo",
                progbar=False,
            )
        )
    return _SEARCHES[0]


def _truncated(program: BoundCircuit, bond: int) -> tuple[list[float], float, float]:
    network = require("quimb.tensor", "qpu")
    circuit = network.CircuitMPS(program.qubits, max_bond=bond, cutoff=1e-14)
    _apply(circuit, program)
    values = [float(np.real(circuit.local_expectation(_Z, (q,)))) for q in program.measured]
    lost = max(0.0, 1.0 - float(circuit.fidelity_estimate()))
    return values, lost, float(circuit.psi.max_bond() or 1)  # None where no two qubits meet


def _apply(circuit: Any, program: BoundCircuit) -> None:
    """Apply a program's gates; quimb takes matrices of two qubits at most."""
    known = {name for name, kind in KINDS.items() if kind.qubits <= 2}
    for whole in program.gates:
        for gate in expanded(whole, known):
            applied = matrix(gate)
            circuit.apply_gate_raw(applied if gate.kind else applied.real, gate.qubits)


class TensorNetwork:
    """An engine, as in `model.head_.head.engine = TensorNetwork(bond=64)`; `truncation` is the last call's largest."""

    def __init__(self, bond: int | None = None) -> None:
        require("quimb", "qpu")
        self.bond, self.truncation = bond, 0.0
        self.name = "tensor network" + (f", bond {bond}" if bond else "")

    def __call__(
        self,
        circuit: Circuit,
        weights: Tensor,
        inputs: Tensor,
        amplitudes: Tensor,
        measured: tuple[int, ...],
        sampled: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return <Z> [runs, batch, measured]; there are no joint probabilities to hand on."""
        assert not sampled, "expectation asks callable engines for values alone"
        if amplitudes.shape[-1]:
            raise HilbertuneError("Tensor networks start from |0>: leave encoders to the other engines.")
        programs = [
            bind(circuit, own.tolist(), row.tolist(), measured)
            for own, rows in zip(weights.detach(), inputs.detach(), strict=True)
            for row in rows
        ]
        contraction = contract(programs, bond=self.bond)
        self.truncation = float(contraction.truncation.max(initial=0.0))
        values = torch.from_numpy(contraction.values).to(weights)
        return values.view(*inputs.shape[:2], len(measured)), values.new_zeros(0)
