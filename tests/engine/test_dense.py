"""One gate on a dense state does what its matrix says."""

import math

import pytest
import torch

from hilbertune.circuit.kinds import Operation
from hilbertune.engine.dense import apply_operation


def test_a_rotation_turns_the_pairs_of_its_qubit() -> None:
    state = torch.tensor([0.6, 0.0, 0.8, 0.0], dtype=torch.float64)
    cosine, sine = math.cos(0.35), math.sin(0.35)
    low = apply_operation(state, Operation("ry", 0, weight=0), 0.7)
    torch.testing.assert_close(low, torch.tensor([0.6 * cosine, 0.6 * sine, 0.8 * cosine, 0.8 * sine]).double())
    high = apply_operation(state, Operation("ry", 1, weight=0), 0.7)
    wanted = torch.tensor([0.6 * cosine - 0.8 * sine, 0.0, 0.6 * sine + 0.8 * cosine, 0.0])
    torch.testing.assert_close(high, wanted.double())


@pytest.mark.parametrize(
    ("operation", "wanted"), [(Operation("cx", 1, 0), [0, 3, 2, 1]), (Operation("cx", 0, 1), [0, 1, 3, 2])]
)
def test_a_cnot_swaps_where_its_control_is_set(operation: Operation, wanted: list[int]) -> None:
    assert apply_operation(torch.arange(4.0), operation).tolist() == wanted


def test_angles_broadcast_against_the_leading_axes() -> None:
    states = torch.randn(2, 3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    angles = torch.arange(6.0, dtype=torch.float64).view(2, 3)
    operation = Operation("ry", 1, input=0)
    together = apply_operation(states, operation, angles)
    shared = apply_operation(states, operation, angles[:, :1])
    for run in range(2):
        for row in range(3):
            alone = apply_operation(states[run, row], operation, float(angles[run, row]))
            assert torch.equal(together[run, row], alone)
            assert torch.equal(shared[run, row], apply_operation(states[run, row], operation, float(angles[run, 0])))
