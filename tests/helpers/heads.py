"""Random heads with their angles, and the exact answer to each.

In: what hypothesis draws.
Out: a circuit, its weights and inputs, measured qubits; expectations.
"""

import math
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from hilbertune.circuit.builders import head
from hilbertune.circuit.table import Circuit
from hilbertune.engine.expectations import expectation


@st.composite
def heads(draw: Any, most_qubits: int = 5) -> tuple[Circuit, np.ndarray, np.ndarray, tuple[int, ...]]:
    """Draw a head, its angles (now and then multiples of a quarter turn), and measured qubits."""
    qubits = draw(st.integers(2, most_qubits))
    circuit = head(
        qubits,
        reuploads=draw(st.integers(1, 3)),
        reupload_layers=draw(st.integers(0, 2)),
        layers=draw(st.integers(0, 2)),
        connectivity=draw(st.integers(1, qubits - 1)),
        column=draw(st.booleans()),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    angles = [rng.normal(size=n) for n in (circuit.parameters, circuit.inputs)]
    if draw(st.booleans()):
        angles = [rng.integers(-4, 5, size=len(a)) * math.pi / 2 for a in angles]
    measured = rng.permutation(qubits)[: draw(st.integers(1, qubits))].tolist()
    return circuit, angles[0], angles[1], tuple(measured)


def exact(case: tuple[Circuit, np.ndarray, np.ndarray, tuple[int, ...]]) -> np.ndarray:
    """Return the expectations [measured] by the default engine."""
    circuit, weights, inputs, measured = case
    w, x = torch.from_numpy(weights)[None].double(), torch.from_numpy(inputs)[None, None].double()
    return expectation(circuit, w, x, measured=measured)[0, 0].numpy()
