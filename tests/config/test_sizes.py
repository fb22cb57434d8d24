"""Sizes that nobody can compute are refused before anything is built; gates are counted as the builders build them."""

import random
import time
from typing import Any

import pytest

from hilbertune.circuit.builders import parts
from hilbertune.config.automatic import LEFT_TO_THE_DATA, Automatic
from hilbertune.config.records import HeadConfig, TrainingConfig, TuningConfig
from hilbertune.config.sizes import MOST_GATES, encoder_gates, head_gates
from hilbertune.errors import HilbertuneError


def test_gates_are_counted_as_they_are_built() -> None:
    rng, compared = random.Random(0), 0
    while compared < 60:
        given = {
            "qubits": rng.randint(1, 9),
            "encoders": rng.choice([1, 2, 3]),
            "merge": rng.choice(["concatenate", "average", "alternate"]),
            "encoder_layers": rng.randint(0, 3),
            "layers": rng.randint(0, 3),
            "reuploads": rng.randint(1, 4),
            "reupload_layers": rng.randint(0, 2),
            "connectivity": rng.randint(1, 4),
            "column": rng.random() < 0.5,
            "entanglement": rng.random() < 0.5,
        }
        try:
            shape = HeadConfig(**given)  # type: ignore[arg-type]
        except HilbertuneError:
            continue
        built = parts(shape)
        assert encoder_gates(shape) == len(built["encoder"].operations)
        assert head_gates(shape) == len(built["head"].operations)
        compared += 1


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"qubits": 1_000_000}, r"1000000 qubits take more memory than there is .*use at most 26"),
        ({"qubits": 1000}, r"1000 qubits take 9\.\d+e\+293 GiB"),
        ({"qubits": 10**400}, "qubits take more memory than there is"),
        ({"qubits": 1001, "allow_large": True}, "can have at most 1,000 qubits, not 1001"),
        (
            {"qubits": 20, "reuploads": 1000, "reupload_layers": 1000},
            f"more than the {MOST_GATES:,} that",
        ),
        ({"qubits": 26, "encoder_layers": 1000}, "The circuit of the encoder would have 260,026 gates"),
    ],
)
def test_a_shape_that_nobody_can_compute_is_refused_at_once(given: dict[str, Any], sentence: str) -> None:
    started = time.process_time()
    with pytest.raises(HilbertuneError, match=sentence):
        Automatic({**LEFT_TO_THE_DATA, **given})
    with pytest.raises(HilbertuneError, match=sentence) as caught:
        HeadConfig(**given)
    assert time.process_time() - started < 0.5
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["epochs", "batch_size", "shots", "training_shots", "trajectories", "patience"])
@pytest.mark.parametrize("value", [10**12, 10**25, 10**400])
def test_a_training_that_never_ends_is_refused(name: str, value: int) -> None:
    with pytest.raises(HilbertuneError, match=f"{name} can be at most 1"):
        TrainingConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["contrastive_steps", "tuning_epochs", "accumulation", "lora_rank"])
def test_a_tuning_that_never_ends_is_refused(name: str) -> None:
    with pytest.raises(HilbertuneError, match=f"{name} can be at most 1"):
        TuningConfig(**{name: 10**12})  # type: ignore[arg-type]
