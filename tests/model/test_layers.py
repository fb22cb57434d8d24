"""The modules compute what the circuits say, load states as stated, and behave as torch modules do."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from hilbertune import HilbertuneError, QuantumEncoder, QuantumHead, ansatz, expectation, head
from hilbertune.circuit.table import Circuit
from hilbertune.config.records import PRESETS, HeadConfig
from hilbertune.model.layers import HybridHead
from hilbertune.model.loading import AmplitudeLoading


def small(**changes: Any) -> HeadConfig:
    settings: dict[str, Any] = {
        "qubits": 3,
        "encoder_layers": 1,
        "encoder_connectivity": 1,
        "reuploads": 2,
        "layers": 1,
        "basis": "raw",
    }
    return HeadConfig(**(settings | changes))


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def rows(count: int, features: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(rng(seed).normal(size=(count, features))).float()


# The forward pass against a computation by hand


def encoded(model: HybridHead, x: Tensor) -> list[Tensor]:
    """Return what each encoder says, [batch, qubits] each."""
    states = model.loading(x[None])
    weights = model.encoder.weights[0]
    circuit = model.encoder.circuit
    return [expectation(circuit, w[None], amplitudes=states)[0] for w in weights]


def one_input_a_block(circuit: Circuit, qubits: int) -> Circuit:
    """Return the head with inputs of its own for each block: block r reads r * qubits, r * qubits + 1, ..."""
    numbers = iter(range(1000))
    return Circuit(
        qubits,
        tuple(o if o.input is None else o._replace(input=next(numbers)) for o in circuit.operations),
    )


@pytest.mark.parametrize("merge", ["concatenate", "average", "alternate"])
@pytest.mark.parametrize("encoders", [1, 2])
def test_logits_are_the_hand_computation(merge: str, encoders: int) -> None:
    config = small(qubits=4, encoders=encoders, merge=merge, reuploads=3, angle_scale=0.7, measured_qubits=2)
    model, x = HybridHead(3, 2, config), rows(5, 3)
    said = encoded(model, x)
    blocks = {
        "concatenate": [torch.cat(said, dim=1)] * 3,
        "average": [torch.stack(said).mean(0)] * 3,
        "alternate": [said[r % encoders] for r in range(3)],
    }[merge]
    plain = one_input_a_block(head(4, 3, 1, 1, 1), 4)
    values = expectation(plain, model.head.weights, 0.7 * torch.cat(blocks, dim=1)[None], measured=(0, 1))[0]
    logits = values @ model.linear_weight[0].T + model.linear_bias[0]
    torch.testing.assert_close(model(x), logits, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.expectations(x)[0], values, rtol=1e-5, atol=1e-6)


def test_the_runs_axis_appears_where_it_is_given_or_needed() -> None:
    one, three = HybridHead(5, 4, small()), HybridHead(5, 4, small(), runs=3)
    assert one(rows(7, 5)).shape == (7, 4)
    assert one(rows(7, 5)[None]).shape == (1, 7, 4)
    assert three(rows(7, 5)).shape == (3, 7, 4)
    assert three(rows(7, 5).expand(3, 7, 5)).shape == (3, 7, 4)
    assert one(rows(0, 5)).shape == (0, 4)
    assert one(rows(1, 5)).shape == (1, 4)


def test_two_classes_measure_one_qubit_and_more_classes_one_each() -> None:
    assert HybridHead(5, 2, small()).expectations(rows(1, 5)).shape == (1, 1, 1)
    assert HybridHead(5, 3, small()).expectations(rows(1, 5)).shape == (1, 1, 3)
    assert HybridHead(5, 9, small()).expectations(rows(1, 5)).shape == (1, 1, 3)


def test_without_the_linear_layer_two_classes_get_plus_and_minus_z() -> None:
    model = HybridHead(5, 2, small(final_linear=False))
    z = model.expectations(rows(4, 5))[0]
    assert torch.equal(model(rows(4, 5)), torch.cat([z, -z], dim=1))
    assert not {"linear_weight", "linear_bias"} & {*model.state_dict(), *dict(model.named_parameters())}


@pytest.mark.parametrize(("classes", "measured"), [(3, None), (2, 2)])
def test_without_the_linear_layer_the_expectations_are_the_logits(classes: int, measured: int | None) -> None:
    model = HybridHead(5, classes, small(final_linear=False, measured_qubits=measured))
    assert torch.equal(model(rows(4, 5)), model.expectations(rows(4, 5))[0])


@pytest.mark.parametrize(("classes", "measured"), [(4, None), (3, 2), (3, 1), (2, 3)])
def test_without_the_linear_layer_the_measured_qubits_must_fit(classes: int, measured: int | None) -> None:
    with pytest.raises(HilbertuneError, match="Without the final linear layer"):
        HybridHead(5, classes, small(final_linear=False, measured_qubits=measured))


def test_a_head_of_no_outputs_is_refused() -> None:
    with pytest.raises(HilbertuneError, match="at least 1 output, not 0"):
        HybridHead(5, 0, small())


@pytest.mark.parametrize("final_linear", [True, False])
def test_a_head_may_have_one_output(final_linear: bool) -> None:
    model = HybridHead(5, 1, small(final_linear=final_linear))
    assert model(rows(4, 5)).shape == (4, 1)
    if not final_linear:
        assert torch.equal(model(rows(4, 5)), model.expectations(rows(4, 5))[0])


def test_angle_scale_multiplies_the_encoders_expectations() -> None:
    model, wide = HybridHead(5, 2, small()), HybridHead(5, 2, small(angle_scale=3.0))
    wide.load_state_dict(model.state_dict())
    torch.testing.assert_close(wide.angles(rows(4, 5)), 3 * model.angles(rows(4, 5)))
    assert model.angles(rows(4, 5)).abs().max() <= 1


@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6), (2, 4, 5), (5,), (1, 1, 4, 5)])
def test_embeddings_of_another_width_or_number_of_runs_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(HilbertuneError, match=r"takes embeddings of 5 numbers for 1 run\(s\)"):
        HybridHead(5, 2, small())(torch.ones(shape))


def test_encoder_and_head_are_modules_of_their_own() -> None:
    encoder = QuantumEncoder(ansatz(2, 1), encoders=3, runs=2)
    assert encoder(torch.eye(4)[:2].expand(2, 2, 4)).shape == (2, 3, 2, 2)
    measured = QuantumHead(head(3, 2), measured_qubits=2, runs=2)
    assert measured(torch.zeros(2, 5, 3)).shape == (2, 5, 2)


def test_sampled_expectations_follow_the_generators_of_the_runs() -> None:
    module = QuantumHead(head(3, 2), shots=100, runs=2)
    angles = torch.zeros(2, 5, 3)
    module.rngs = [rng(1), rng(2)]
    first = module(angles)
    module.rngs = [rng(1), rng(3)]
    second = module(angles)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])
    torch.testing.assert_close(first * 50, (first * 50).round())


# Loading of amplitudes


def loaded(config: HeadConfig, x: list[list[float]]) -> Tensor:
    return AmplitudeLoading(config, len(x[0]))(torch.tensor([x]))[0]


def test_zero_padding_is_the_normalised_vector_and_nothing_else() -> None:
    states = loaded(small(qubits=2, padding="zero"), [[3.0, 4.0], [-1.0, 0.0]])
    torch.testing.assert_close(states, torch.tensor([[0.6, 0.8], [-1.0, 0.0]]))


def test_zero_padding_takes_as_many_numbers_as_amplitudes() -> None:
    states = loaded(small(qubits=2, padding="zero"), [[1.0, 1.0, -1.0, 1.0]])
    torch.testing.assert_close(states, torch.tensor([[0.5, 0.5, -0.5, 0.5]]))


def test_constant_padding_fills_the_free_amplitudes_equally() -> None:
    states = loaded(small(qubits=2, constant_share=0.8), [[3.0, 4.0]])
    # The embedding keeps sqrt(1 - 0.8²) = 0.6 of the norm.
    wanted = torch.tensor([[0.36, 0.48, 0.8 / 2**0.5, 0.8 / 2**0.5]])
    torch.testing.assert_close(states, wanted)


@pytest.mark.parametrize("features", [1, 4, 7])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_constant_takes_its_share_of_norm_one(features: int, share: float) -> None:
    config = small(constant_share=share)
    states = AmplitudeLoading(config, features)(rows(6, features)[None])[0]
    torch.testing.assert_close(states.norm(dim=1), torch.ones(6))
    free = states[:, features:]
    torch.testing.assert_close(free.norm(dim=1), torch.full((6,), share))
    torch.testing.assert_close(free, free[:1, :1].expand(free.shape))


def test_an_embedding_of_zeros_leaves_the_constant_alone() -> None:
    states = loaded(small(qubits=2), [[0.0, 0.0]])
    torch.testing.assert_close(states, torch.tensor([[0.0, 0.0, 0.5**0.5, 0.5**0.5]]))


def test_scaling_an_embedding_changes_nothing() -> None:
    model = HybridHead(5, 2, small())
    torch.testing.assert_close(model(rows(4, 5)), model(100 * rows(4, 5)))


def test_zero_padding_is_blind_to_the_sign_of_an_embedding_and_constant_padding_is_not() -> None:
    blind, seeing = HybridHead(5, 2, small(padding="zero")), HybridHead(5, 2, small())
    x = rows(4, 5)
    torch.testing.assert_close(blind(x), blind(-x))
    assert ((seeing.angles(x) - seeing.angles(-x)).abs().amax(-1) > 0.01).all()


# Basis and projection


def fitted(config: HeadConfig, data: Tensor) -> AmplitudeLoading:
    loading = AmplitudeLoading(config, data.shape[1])
    loading.fit_basis(data[None])
    return loading


def test_pca_centres_and_takes_orthonormal_components_by_variance() -> None:
    data = rows(50, 5) * torch.tensor([1.0, 5.0, 2.0, 0.5, 3.0]) + 7
    loading = fitted(small(basis="pca"), data)
    components = loading.matrix[0]
    torch.testing.assert_close(loading.mean[0], data.mean(0))
    torch.testing.assert_close(components @ components.T, torch.eye(5), rtol=0, atol=1e-6)
    variances = ((data - data.mean(0)) @ components.T).var(0)
    assert torch.equal(variances, variances.sort(descending=True).values)
    states = loading(data[None])[0]
    wanted = 0.6 * functional.normalize((data - data.mean(0)) @ components.T, dim=1)
    torch.testing.assert_close(states[:, :5], wanted, rtol=1e-4, atol=1e-5)


def test_the_largest_entry_of_a_component_is_positive() -> None:
    for data in (rows(50, 5), -rows(50, 5)):
        components = fitted(small(basis="pca"), data).matrix[0]
        assert (components.gather(1, components.abs().argmax(1, keepdim=True)) > 0).all()


def test_components_beyond_the_number_of_rows_are_zero() -> None:
    loading = fitted(small(basis="pca"), rows(3, 6))
    assert torch.equal(loading.matrix[0, 3:], torch.zeros(3, 6))
    kept = loading.matrix[0, :3]
    torch.testing.assert_close(kept @ kept.T, torch.eye(3), rtol=0, atol=1e-6)
    torch.testing.assert_close(loading(rows(4, 6, 1)[None]).norm(dim=2), torch.ones(1, 4))


def test_pca_reduces_an_embedding_that_is_wider_than_the_state() -> None:
    data = rows(40, 20)
    for config in (small(basis="pca"), small(projection="pca")):
        loading = fitted(config, data)
        assert loading.matrix.shape == (1, 7, 20)
        assert loading(data[None]).shape == (1, 40, 8)


def test_every_run_has_the_basis_of_its_own_rows() -> None:
    both = torch.stack([rows(20, 5, 1), rows(20, 5, 2)])
    loading = AmplitudeLoading(small(basis="pca"), 5, runs=2)
    loading.fit_basis(both)
    for run in (0, 1):
        assert torch.equal(loading.matrix[run], fitted(small(basis="pca"), both[run]).matrix[0])


def test_an_unfitted_basis_takes_the_embedding_as_it_is() -> None:
    x = rows(4, 5)[None]
    assert torch.equal(AmplitudeLoading(small(basis="pca"), 5)(x), AmplitudeLoading(small(), 5)(x))


def test_a_raw_basis_needs_no_fit() -> None:
    assert fitted(small(), rows(9, 5)).state_dict() == {}


def test_truncation_takes_the_first_numbers() -> None:
    x = rows(4, 20)[None]
    loading = AmplitudeLoading(small(projection="truncate"), 20)
    assert torch.equal(loading(x), AmplitudeLoading(small(), 7)(x[..., :7]))
    assert list(loading.parameters()) == []


@pytest.mark.parametrize(("projection", "trained"), [("random", 0), ("trainable", 7 * 20)])
def test_a_drawn_projection_is_a_matrix(projection: str, trained: int) -> None:
    x = rows(4, 20)
    model = HybridHead(20, 2, small(projection=projection))
    matrix = model.loading.matrix[0]
    # 140 independent normal entries of variance 1 / 20: the mean length squared of a row is 1.
    assert matrix.shape == (7, 20)
    assert abs(matrix.square().sum(1).mean() - 1) < 0.4
    wanted = 0.6 * functional.normalize(x @ matrix.T, dim=1)
    torch.testing.assert_close(model.loading(x[None])[0, :, :7], wanted)
    assert sum(p.numel() for p in model.loading.parameters()) == trained
    assert model.parameter_count == HybridHead(7, 2, small()).parameter_count + trained
    assert "loading.matrix" in model.state_dict()


def test_a_trainable_projection_gets_a_gradient() -> None:
    model = HybridHead(20, 2, small(projection="trainable"))
    model(rows(4, 20)).sum().backward()
    assert model.get_parameter("loading.matrix").grad.abs().min() > 0


@pytest.mark.parametrize("projection", ["truncate", "random", "pca", "trainable"])
def test_an_embedding_that_fits_is_not_projected(projection: str) -> None:
    assert AmplitudeLoading(small(projection=projection), 7).state_dict() == {}


@pytest.mark.parametrize(("padding", "features"), [("zero", 9), ("constant", 8)])
def test_an_embedding_that_is_too_wide_is_refused(padding: str, features: int) -> None:
    AmplitudeLoading(small(padding=padding), features - 1)
    with pytest.raises(HilbertuneError, match="use more qubits, projection="):
        AmplitudeLoading(small(padding=padding), features)


# Parameters


@pytest.mark.parametrize(("preset", "count"), [("published-886", 886), ("published-374", 374)])
def test_presets_have_the_parameters_of_their_names(preset: str, count: int) -> None:
    assert HybridHead(768, 2, PRESETS[preset]).parameter_count == count
    assert HybridHead(768, 2, PRESETS[preset], runs=3).parameter_count == count


@pytest.mark.parametrize(
    "config",
    [
        HeadConfig(qubits=6, encoders=2, encoder_layers=3, encoder_connectivity=2),
        HeadConfig(qubits=4, encoders=3, merge="average", reuploads=1, layers=3, connectivity=3),
        HeadConfig(qubits=4, encoders=2, merge="alternate", reupload_layers=2, connectivity=2),
        HeadConfig(qubits=5, encoder_layers=0, layers=0, reupload_layers=0),
    ],
)
@pytest.mark.parametrize("classes", [2, 3])
def test_parameters_are_counted_by_the_formulas(config: HeadConfig, classes: int) -> None:
    def ring(qubits: int, layers: int, connectivity: int) -> int:
        return qubits * (layers * connectivity + 1)

    encoder = ring(config.encoder_qubits, config.encoder_layers, config.encoder_offsets)
    reupload = ring(config.qubits, config.reupload_layers, config.connectivity)
    main = ring(config.qubits, config.layers, config.connectivity)
    measured = 1 if classes == 2 else classes
    wanted = config.encoders * encoder + config.reuploads * reupload + main
    wanted += (measured + 1) * classes
    assert HybridHead(6, classes, config).parameter_count == wanted


def test_shared_blocks_and_a_missing_column_or_linear_layer_save_parameters() -> None:
    count = HybridHead(5, 2, small()).parameter_count
    assert HybridHead(5, 2, small(shared_reupload=True)).parameter_count == count - 6
    assert HybridHead(5, 2, small(column=False)).parameter_count == count - 4 * 3
    assert HybridHead(5, 2, small(final_linear=False)).parameter_count == count - 4


def test_a_trainable_projection_of_768_numbers_is_counted() -> None:
    config = small(qubits=6, padding="zero", projection="trainable")
    fits = HybridHead(64, 2, config).parameter_count
    assert HybridHead(768, 2, config).parameter_count == fits + 64 * 768


def test_manual_seed_governs_the_parameters() -> None:
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(HybridHead(20, 2, small(projection="random"), runs=2).state_dict())
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    assert not any(torch.equal(made[0][name], made[2][name]) for name in made[0])


def test_a_runs_parameters_depend_on_its_own_generator_only() -> None:
    config = small(projection="trainable")
    stack, alone = HybridHead(20, 3, config, runs=3), HybridHead(20, 3, config)
    stack.reset_parameters([rng(4), rng(5), rng(6)])
    alone.reset_parameters([rng(5)])
    for name, values in alone.state_dict().items():
        assert torch.equal(stack.state_dict()[name][1:2], values), name


def test_angles_start_within_a_full_turn_and_the_linear_layer_within_its_bound() -> None:
    model = HybridHead(5, 4, small(qubits=8, measured_qubits=4))
    for weights in (model.encoder.weights, model.head.weights):
        assert weights.abs().max() <= torch.pi
        assert weights.abs().max() > 0.8 * torch.pi
    assert model.linear_weight.abs().max() <= 0.5
    assert model.linear_bias.abs().max() <= 0.5


# Derivatives


@pytest.mark.parametrize(
    ("features", "classes", "changes"),
    [
        (3, 2, {}),
        (3, 2, {"padding": "zero", "final_linear": False}),
        (5, 3, {"encoders": 2, "merge": "average"}),
        (5, 2, {"encoders": 2, "merge": "alternate", "angle_scale": 2.0}),
        (9, 2, {"projection": "trainable"}),
        (9, 2, {"projection": "trainable", "norm": "keep"}),
        (3, 2, {"norm": "keep", "padding": "zero"}),
    ],
)
def test_gradients_are_those_of_finite_differences(features: int, classes: int, changes: dict[str, Any]) -> None:
    model = HybridHead(features, classes, small(**changes)).double()
    names = [name for name, _ in model.named_parameters()]

    def run(x: Tensor, *values: Tensor) -> Tensor:
        given = dict(zip(names, values, strict=True))
        answer: Tensor = torch.func.functional_call(model, given, (x,))
        return answer

    x = rows(3, features).double().requires_grad_()
    parameters = [p.detach().requires_grad_() for p in model.parameters()]
    assert torch.autograd.gradcheck(run, (x, *parameters), fast_mode=True)


def test_the_gradient_reaches_the_base_model() -> None:
    base, model = nn.Linear(4, 5), HybridHead(5, 2, small())
    functional.cross_entropy(model(base(rows(6, 4))), torch.tensor([0, 1] * 3)).backward()
    assert base.weight.grad is not None
    assert base.weight.grad.abs().min() > 0


@pytest.mark.parametrize("gradient", ["parameter-shift", "spsa"])
def test_the_gradients_of_hardware_reach_the_base_model(gradient: Any) -> None:
    model, x = HybridHead(5, 2, small()), rows(6, 5).requires_grad_()
    model.head.gradient = gradient
    model(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0


def test_a_plain_torch_loop_learns() -> None:
    torch.manual_seed(0)
    x = rows(40, 5)
    labels = (x[:, 0] > 0).long()
    model = HybridHead(5, 2, small())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.4 < losses[0]


# A torch module among others


def everything() -> HybridHead:
    """Return a model with all kinds of parameters and buffers, its basis fitted."""
    model = HybridHead(9, 3, small(basis="pca", encoders=2, merge="average"), runs=2)
    model.loading.fit_basis(torch.stack([rows(20, 9, 1), rows(20, 9, 2)]))
    return model


def test_a_state_dict_round_trip_keeps_every_bit(tmp_path: Path) -> None:
    model, other = everything(), everything()
    safetensors.torch.save_file(model.state_dict(), tmp_path / "m.safetensors")
    assert not torch.equal(other(rows(4, 9)), model(rows(4, 9)))
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "m.safetensors"))
    assert torch.equal(other(rows(4, 9)), model(rows(4, 9)))


def test_deepcopy_and_pickle_keep_every_bit() -> None:
    model = everything()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(rows(4, 9)), model(rows(4, 9)))
        twin.head.weights.data += 1
        assert not torch.equal(twin(rows(4, 9)), model(rows(4, 9)))


def test_double_precision_moves_everything() -> None:
    model = everything()
    double = copy.deepcopy(model).double()
    assert {t.dtype for t in double.state_dict().values()} == {torch.float64}
    assert double(rows(4, 9)).dtype == torch.float64
    torch.testing.assert_close(double(rows(4, 9)).float(), model(rows(4, 9)), rtol=0, atol=1e-5)
    torch.testing.assert_close(copy.deepcopy(double).to(torch.float32)(rows(4, 9)), model(rows(4, 9)))


def test_half_precision_weights_are_refused() -> None:
    with pytest.raises(HilbertuneError, match="weights must be float32 or float64"):
        HybridHead(5, 2, small()).bfloat16()(rows(4, 5))


def test_half_precision_embeddings_are_taken() -> None:
    model, x = HybridHead(5, 2, small()), rows(4, 5).bfloat16()
    assert torch.equal(model(x), model(x.float()))


def test_autocast_leaves_the_quantum_part_in_single_precision() -> None:
    model = everything()
    wanted = model(rows(4, 9))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(rows(4, 9))
    assert logits.dtype == torch.float32
    assert torch.equal(logits, wanted)


COMPILED = """
import copy, torch
from hilbertune.config import HeadConfig
from hilbertune.model import HybridHead

x = torch.randn(4, 9)
model = HybridHead(9, 3, HeadConfig(qubits=3, encoder_layers=1, basis="raw", projection="trainable"))
twin = copy.deepcopy(model)
compiled = torch.compile(twin, backend="eager")
assert torch.equal(compiled(x), model(x))
model(x).square().sum().backward()
compiled(x).square().sum().backward()
for (name, ours), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
    assert ours.grad is not None and torch.equal(ours.grad, theirs.grad), name
"""


def test_a_compiled_model_gives_the_same_values_and_gradients() -> None:
    # In a process of its own: torch.compile cannot see through the checks of types that tests run under.
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("features", "classes", "changes"),
    [
        (5, 2, {}),
        (7, 3, {"basis": "pca"}),
        (33, 2, {"projection": "trainable"}),
        (24, 2, {"projection": "random", "final_linear": False}),
        (6, 5, {"qubits": 4, "encoders": 2, "merge": "alternate", "padding": "zero"}),
    ],
)
def test_a_selected_run_is_that_run_of_the_stack_bit_for_bit(
    features: int, classes: int, changes: dict[str, Any]
) -> None:
    stack = HybridHead(features, classes, small(**changes), runs=4)
    stack.loading.fit_basis(torch.stack([rows(30, features, k) for k in range(4)]))
    x = rows(11, features, 9)
    together = stack(x)
    for run in range(4):
        assert torch.equal(stack.select(run)(x), together[run]), run


def test_a_selected_run_keeps_precision_shots_gradient_and_engine() -> None:
    stack = HybridHead(5, 2, small(), runs=2, engine="reference").double()
    stack.reset_parameters([rng(0), rng(1)])
    stack.head.shots, stack.head.gradient = 100, "spsa"
    single = stack.select(1)
    assert (single.runs, single.head.shots, single.head.gradient) == (1, 100, "spsa")
    assert single.head.engine == single.encoder.engine == "reference"
    assert torch.equal(single.head.weights[0], stack.head.weights[1])
    single.head.weights.data += 1
    assert not torch.equal(single.head.weights[0], stack.head.weights[1])


def test_a_model_prints_its_widths_and_parameters() -> None:
    model = HybridHead(5, 3, small(), runs=2)
    assert f"5 → 3, {model.parameter_count} parameters, runs=2" in repr(model)
