"""Training steps in one compiled call equal torch's autograd and its own steps of Adam, on any number of threads."""

import copy
import gc
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hilbertune.circuit.builders import head
from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.data.splits import Split
from hilbertune.engine import cpu, reference, sampling, threads
from hilbertune.engine.rows import LANES
from hilbertune.errors import HilbertuneError
from hilbertune.model import evaluation, fused
from hilbertune.model.fused import Fused
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import train

SHAPES: list[tuple[int, dict[str, Any]]] = [
    (2, {"qubits": 4}),
    (2, {"qubits": 4, "padding": "zero", "encoder_layers": 2, "encoder_connectivity": 1}),
    (3, {"qubits": 4, "encoders": 2, "padding": "zero", "projection": "truncate"}),
    (3, {"qubits": 4, "encoders": 2, "merge": "average", "angle_scale": 2.5}),
    (4, {"qubits": 4, "encoders": 3, "merge": "alternate", "measured_qubits": 2}),
    (2, {"qubits": 4, "final_linear": False}),
    (3, {"qubits": 4, "encoders": 2, "merge": "alternate", "angle_scale": 2.5, "input_scale": "trainable"}),
    (2, {"qubits": 4, "encoders": 2, "merge": "average", "input_scale": "trainable"}),
    (3, {"qubits": 4, "final_linear": False, "shared_reupload": True}),
    (2, {"qubits": 3, "basis": "pca", "column": False}),
    (2, {"qubits": 3, "projection": "random"}),
    (2, {"qubits": 4, "encoder_layers": 0, "column": False}),
    (2, {"qubits": 4, "norm": "keep"}),
    (3, {"qubits": 4, "norm": "keep", "padding": "zero", "scale": "standardise"}),
    (3, {"qubits": 3, "norm": "keep", "basis": "pca", "scale": "standardise"}),
]


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def problem(
    classes: int, shape: dict[str, Any], runs: int, dtype: torch.dtype = torch.float64
) -> tuple[HybridHead, Tensor, Tensor]:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(30, 9))).to(dtype)
    model = HybridHead(9, classes, HeadConfig(**shape), runs=runs).to(dtype)
    return model, x, torch.from_numpy(rng.integers(0, classes, 30))


def learnt(model: HybridHead, x: Tensor, y: Tensor, config: TrainingConfig) -> dict[str, Any]:
    splits = [Split(np.arange(k, 20 + k), np.arange(20 + k, 28 + k), np.arange(0)) for k in range(model.runs)]
    configs = [config] * model.runs
    result = train(model, x, y, splits, configs, list(range(model.runs)))
    curves = [result.train_loss, result.validation_loss, result.validation_accuracy]
    return result.last | {str(k): torch.from_numpy(c) for k, c in enumerate(curves)}


@pytest.mark.parametrize(("classes", "shape"), SHAPES)
def test_fused_training_equals_autograd_and_torch(
    classes: int, shape: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, y = problem(classes, shape, runs=2)
    config = TrainingConfig(epochs=3, batch_size=9, weight_decay=0.01, learning_rate_decay=0.9)
    assert fused.usable(model, len(x))
    found = learnt(model, x, y, config)
    monkeypatch.setattr(fused, "usable", lambda *_: False)
    wanted = learnt(model, x, y, config)
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-8, atol=1e-10, msg=name)


@pytest.mark.parametrize("lanes", range(1, LANES.bit_length()))
@pytest.mark.parametrize(("classes", "shape"), [SHAPES[2], SHAPES[6], SHAPES[7], SHAPES[13]])
def test_every_layout_of_the_lanes_trains_alike(
    classes: int, shape: dict[str, Any], lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, y = problem(classes, shape, runs=2)
    config = TrainingConfig(epochs=2, batch_size=9, training_shots=70, exact_start=0.5)
    found = []
    for own in (0, lanes):
        monkeypatch.setattr(fused, "qubits_in_lanes", lambda qubits, own=own: min(own, qubits))
        results = learnt(model, x, y, config)
        logits = Fused(model, x).logits(np.tile(np.arange(len(x)), (2, 1)))
        found.append(results | {"logits": torch.from_numpy(logits)})
    for name, tensor in found[0].items():
        torch.testing.assert_close(found[1][name], tensor, rtol=1e-8, atol=1e-9, msg=name)


@pytest.mark.parametrize(("classes", "shape"), SHAPES)
def test_fused_training_draws_the_shots_that_torchs_steps_draw(
    classes: int, shape: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, y = problem(classes, shape, runs=2)
    standardise = model.config.final_linear
    config = TrainingConfig(epochs=3, batch_size=9, training_shots=70, standardise=standardise)
    found = learnt(model, x, y, config)
    exact = learnt(model, x, y, TrainingConfig(epochs=3, batch_size=9, standardise=standardise))
    monkeypatch.setattr(fused, "usable", lambda *_: False)
    wanted = learnt(model, x, y, config)
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-8, atol=1e-9, msg=name)
    assert not torch.allclose(exact["head.weights"], wanted["head.weights"])


@pytest.mark.parametrize(("classes", "shape"), SHAPES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_fused_logits_are_the_models(classes: int, shape: dict[str, Any], dtype: torch.dtype) -> None:
    model, x, _ = problem(classes, shape, runs=2, dtype=dtype)
    model.loading.fit_basis(x.expand(2, *x.shape))
    rows = np.random.default_rng(1).integers(0, 30, (2, 13))
    found = torch.from_numpy(Fused(model, x).logits(rows))
    wanted = model(x[torch.from_numpy(rows)]).detach()
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("shots", [None, 20])
@pytest.mark.parametrize("runs", [1, 2, 3])
def test_any_number_of_threads_gives_the_same_bits(
    runs: int, shots: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "_WORTH_A_TEAM", 0)
    found = []
    for count in (1, 2, 3, 5):
        torch.set_num_threads(count)
        model, x, y = problem(2, {"qubits": 4}, runs, torch.float32)
        found.append(learnt(model, x, y, TrainingConfig(epochs=3, batch_size=20, training_shots=shots)))
    for other in found[1:]:
        for name, tensor in other.items():
            assert torch.equal(tensor.nan_to_num(), found[0][name].nan_to_num()), name


def test_calls_of_one_step_give_the_bits_of_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for at_once in (1_000_000_000, 1):
        monkeypatch.setattr(fused, "_ONE_CALL", at_once)
        model, x, y = problem(2, {"qubits": 4}, 2, torch.float32)
        found.append(learnt(model, x, y, TrainingConfig(epochs=2, batch_size=6, training_shots=30)))
    assert all(torch.equal(found[0][name], tensor) for name, tensor in found[1].items())


@pytest.mark.parametrize(
    ("threads", "runs", "tiles", "wanted"),
    [
        (1, 5, 2, (1, 1)),
        (2, 1, 2, (2, 2)),
        (2, 70, 2, (2, 1)),
        (2, 3, 2, (2, 2)),  # two runs and then one would leave a core idle
        (8, 1, 2, (2, 2)),
        (8, 3, 2, (6, 2)),
        (16, 70, 2, (16, 2)),
    ],
)
def test_threads_are_shared_out_for_the_least_time(
    threads: int, runs: int, tiles: int, wanted: tuple[int, int]
) -> None:
    assert fused._teams(threads, runs, tiles, 1_000_000) == wanted


def test_small_circuits_are_not_worth_a_team() -> None:
    assert fused._teams(8, 1, 2, 1000) == (1, 1)


def test_a_projection_that_is_trained_takes_torchs_steps() -> None:
    model, x, y = problem(2, {"qubits": 3, "projection": "trainable"}, 1)
    assert not fused.usable(model, len(x))
    before = model.loading.matrix.detach().clone()
    learnt(model, x, y, TrainingConfig(epochs=1))
    assert not torch.equal(before, model.loading.matrix)


def test_states_that_do_not_fit_the_memory_are_refused_with_the_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "memory", lambda: 4 << 30)
    shape = {"qubits": 29, "encoder_layers": 1, "encoder_connectivity": 1, "allow_large": True}
    model, x, _ = problem(2, shape, 1, torch.float32)
    with pytest.raises(HilbertuneError, match=r"29 qubits take 6.0 GiB, and 4.0 GiB"):
        Fused(model, x).logits(np.zeros((1, 1), np.int64))
    with pytest.raises(HilbertuneError, match=r"1 states of 29 qubits take 6.0 GiB"):
        model.encoder(model.loading.leading(x[None, :1]))


def test_memory_allows_one_thread_where_it_does_not_allow_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, x, _ = problem(2, {"qubits": 10}, 1, torch.float32)
    compiled = Fused(model, x)
    thread = 3 * (4 << 10) * compiled.samples  # three states of each sample of a tile
    monkeypatch.setattr(threads, "memory", lambda: int(2.5 * thread))
    assert compiled._fitting(8) == 2


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> list[HybridHead]:
    """Every model that is described to the kernels, in order."""
    models: list[HybridHead] = []
    describe: Callable[..., Any] = fused._described
    monkeypatch.setattr(fused, "_described", lambda model: (models.append(model), describe(model))[1])
    return models


def test_a_model_is_described_once_for_each_type_of_numbers(described: list[HybridHead]) -> None:
    model, x, _ = problem(2, {"qubits": 4}, 1, torch.float32)
    for row in range(3):
        evaluation.logits(model, x[row : row + 1].numpy())
    assert len(described) == 1
    assert evaluation.logits(model.double(), x[:1].double().numpy()).dtype == np.float64
    assert len(described) == 2
    assert evaluation.logits(model.float(), x[:1].numpy()).dtype == np.float32
    assert len(described) == 2


def test_a_prediction_reads_the_weights_as_they_are_now(described: list[HybridHead]) -> None:
    model, x, _ = problem(3, {"qubits": 4}, 1)
    before = evaluation.logits(model, x.numpy())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3)
        wanted = model(x).numpy()
    after = evaluation.logits(model, x.numpy())
    assert len(described) == 1
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, wanted, atol=1e-10)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_of_a_described_model_are_described_anew(
    described: list[HybridHead], again: Callable[[HybridHead], HybridHead]
) -> None:
    model, x, _ = problem(2, {"qubits": 4}, 1)
    wanted = evaluation.logits(model, x.numpy())
    twin = again(model)
    assert twin.state_dict().keys() == HybridHead(9, 2, HeadConfig(qubits=4)).state_dict().keys()
    assert np.array_equal(evaluation.logits(twin, x.numpy()), wanted)
    assert described == [model, twin]


def test_a_description_goes_with_its_model() -> None:
    model, x, _ = problem(2, {"qubits": 4}, 1)
    gc.collect()
    before = len(fused._DESCRIPTIONS)
    evaluation.logits(model, x.numpy())
    assert len(fused._DESCRIPTIONS) == before + 1
    del model
    gc.collect()
    assert len(fused._DESCRIPTIONS) == before


def test_threads_that_predict_at_once_get_what_one_gets(described: list[HybridHead]) -> None:
    model, x, _ = problem(2, {"qubits": 5}, 1)
    wanted = [evaluation.logits(copy.deepcopy(model), row[None]) for row in x.numpy()]
    described.clear()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda row: evaluation.logits(model, row[None]), list(x.numpy()) * 4))
    assert described == [model]
    assert all(np.array_equal(answer, wanted[k % len(wanted)]) for k, answer in enumerate(answers))


def test_importing_an_estimator_loads_no_compiler() -> None:
    code = """
import sys
from hilbertune import HybridClassifier, HybridRegressor
import hilbertune.model.evaluation, hilbertune.model.layers, hilbertune.model.tasks, hilbertune.model.training
print(sorted({"numba", "llvmlite", "triton", "torch._dynamo"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("loaded", [0, 5, 8])
def test_shared_shifts_equal_shifts_one_by_one(sampled: bool, loaded: int) -> None:
    rng = np.random.default_rng(3)
    circuits = [head(3, connectivity=2), Circuit(3, (Operation("cx", 0, 1), Operation("ry", 2, weight=0)))]
    for circuit in circuits:
        tensors = [
            torch.from_numpy(rng.normal(size=size))
            for size in ((2, circuit.parameters), (2, 11, circuit.inputs), (2, 11, loaded))
        ]
        measured = (2, 0)
        found = cpu.shifted(circuit, *tensors, measured, sampled)
        wanted = sampling.shifted(reference.exact, circuit, *tensors, measured, sampled)
        for ours, theirs in zip(found, wanted, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_exact_epochs_come_before_those_with_shots(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainingConfig(epochs=4, batch_size=9, training_shots=40, exact_start=0.5)
    assert [config.shots_at(epoch) for epoch in range(4)] == [None, None, 40, 40]
    model, x, y = problem(3, {"qubits": 4}, runs=2)
    found = learnt(model, x, y, config)
    curve = found["0"]
    for other, same in ((TrainingConfig(epochs=4, batch_size=9), 2), (replace(config, exact_start=0.0), 0)):
        torch.testing.assert_close(learnt(model, x, y, other)["0"][:same], curve[:same], rtol=0, atol=0)
        assert not torch.allclose(learnt(model, x, y, other)["0"][same:], curve[same:])
    monkeypatch.setattr(fused, "usable", lambda *_: False)
    wanted = learnt(model, x, y, config)
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-8, atol=1e-9, msg=name)
