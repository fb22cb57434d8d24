"""Training with hardware in the loop: what moves, what it costs, and that it is not paid twice."""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.qpu import Trained

from hilbertune.config.records import HeadConfig
from hilbertune.errors import HilbertuneError
from hilbertune.hardware import recalibration
from hilbertune.hardware.backend import HardwareBackend
from hilbertune.hardware.qiskit_provider import local
from hilbertune.hardware.recalibration import recalibrate, spsa_steps
from hilbertune.model.layers import HybridHead


def test_recalibration_fits_the_device(trained: Trained, tmp_path: Path) -> None:
    model, X, y = trained
    made = HardwareBackend(local("aria-2", readout_error=0.1), tmp_path, shots=1000)
    found = recalibrate(model, made, X[:100], y[:100])
    assert found.losses[1] < found.losses[0]
    assert (found.circuits, found.shots) == (100, 100_000)
    assert not torch.equal(found.model.head_.linear_weight, model.head_.linear_weight)
    assert torch.equal(found.model.head_.head.weights, model.head_.head.weights)


def test_spsa_moves_the_last_block_alone_within_its_budget(trained: Trained, tmp_path: Path) -> None:
    model, X, y = trained
    before = model.head_.head.weights[0].detach().clone()
    results = []
    for _ in range(2):  # the second finds everything in the ledger
        made = HardwareBackend(local("forte-1"), tmp_path, shots=100)
        results.append(spsa_steps(model, made, X[:100], y[:100], steps=3, shots_per_step=2000))
    after = results[0].model.head_.head.weights[0].detach()
    moved = (after != before).nonzero().ravel().tolist()
    second = 4 * (1 * 1 + 1)
    assert moved == list(range(len(before) - second, len(before)))
    assert results[0].shots == 3 * 2000
    assert torch.equal(after, results[1].model.head_.head.weights[0])
    with pytest.raises(HilbertuneError, match="cannot measure one row twice"):
        spsa_steps(model, made, X[:100], y[:100], shots_per_step=10)


@pytest.mark.parametrize("settings", [{}, {"reupload_layers": 0}, {"shared_reupload": True}, {"entanglement": False}])
@pytest.mark.parametrize(("layers", "column"), [(0, True), (0, False), (1, False), (2, True)])
def test_the_last_block_ends_the_circuit(layers: int, column: bool, settings: dict[str, Any]) -> None:
    """PQC2 is what a head has more than one without it; where it has no weights, PQC1 of the last upload moves."""
    shape = HeadConfig(qubits=3, reuploads=2, layers=layers, column=column, encoder_layers=1, **settings)
    hybrid = HybridHead(5, 2, shape)
    weights = [o.weight for o in hybrid.circuits["head"].operations if o.weight is not None]
    second = 3 * (layers + column)
    first = 3 * (shape.reupload_layers + column)
    assert recalibration.last_block(hybrid) == weights[len(weights) - (second or first) :]
