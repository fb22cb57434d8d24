"""Models under PyTorch's transforms have the values and derivatives that they have without, or say why they cannot."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian, jvp, stack_module_state, vmap

from hilbertune.circuit.builders import ansatz, head
from hilbertune.config.noise import Noise
from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.data.splits import few_shot_split
from hilbertune.engine.expectations import expectation
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.model.layers import HybridHead, QuantumEncoder, QuantumHead
from hilbertune.model.training import train

SMALL = {"qubits": 2, "encoder_layers": 1, "layers": 1, "reuploads": 1, "encoder_connectivity": 1, "connectivity": 1}
SHAPE = HeadConfig(**SMALL, basis="raw", scale="none", norm="drop")


@pytest.fixture(autouse=True)
def _quiet(unchecked: None) -> Iterator[None]:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every shape that is looked at
        yield


def encoder(**settings: Any) -> tuple[nn.Module, Tensor]:
    states = nn.functional.normalize(torch.randn(1, 5, 8, dtype=torch.float64), dim=-1)
    return QuantumEncoder(ansatz(3, 1), encoders=2, **settings).double(), states


def quantum_head(**settings: Any) -> tuple[nn.Module, Tensor]:
    angles = torch.randn(1, 5, 3, dtype=torch.float64)
    return QuantumHead(head(3, 1, 1, 1), measured_qubits=2, **settings).double(), angles


def hybrid(**settings: Any) -> tuple[nn.Module, Tensor]:
    return HybridHead(3, 3, SHAPE, **settings).double(), torch.randn(5, 3, dtype=torch.float64)


def projected() -> tuple[nn.Module, Tensor]:
    shape = HeadConfig(**SMALL, projection="trainable", basis="raw", scale="none", input_scale="trainable")
    return HybridHead(9, 2, shape).double(), torch.randn(5, 9, dtype=torch.float64)


def classical() -> tuple[nn.Module, Tensor]:
    return HybridHead(6, 2, HeadConfig(encoder="linear", head="dense", qubits=3)).double(), torch.randn(5, 6).double()


MODELS: list[Callable[..., tuple[nn.Module, Tensor]]] = [encoder, quantum_head, hybrid, projected, classical]


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def more_rows(x: Tensor) -> Tensor:
    """Return 16 other rows: a number that the products of matrices treat in another way."""
    return nn.functional.normalize(torch.randn(*x.shape[:-2], 16, x.shape[-1], dtype=x.dtype), dim=-1)


@pytest.mark.parametrize("made", MODELS)
def test_a_traced_model_is_the_model_for_other_rows_and_weights(made: Any) -> None:
    model, x = made()
    traced = torch.jit.trace(model, x, check_trace=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    other = more_rows(x)
    close(traced(other), model(other))


def test_an_exported_model_is_the_model_for_any_number_of_rows() -> None:
    model, x = projected()
    rows = {x.dim() - 2: torch.export.Dim("rows", min=2, max=999)}
    exported = torch.export.export(model, (x,), dynamic_shapes=(rows,)).module()
    for other in (x, more_rows(x)):
        close(exported(other), model(other))


@pytest.mark.parametrize("made", MODELS)
def test_torch_func_has_our_gradients(made: Any) -> None:
    model, x = made()
    weights = {name: p.detach() for name, p in model.named_parameters()}
    loss = lambda w, x: functional_call(model, w, (x,)).square().sum()  # noqa: E731
    rows = torch.stack([x, x.flip(-2)])
    found = vmap(grad(loss), in_dims=(None, 0))(weights, rows)
    for number, one in enumerate(rows):
        model.zero_grad()
        model(one).square().sum().backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            close(found[name][number], parameter.grad)
    _, slope = jvp(lambda x: loss(weights, x), (x,), (torch.ones_like(x),))
    step = 1e-6
    close(slope / 1e3, (loss(weights, x + step) - loss(weights, x - step)) / (2e3 * step))


def test_models_are_stacked_by_vmap() -> None:
    models = [hybrid()[0] for _ in range(3)]
    _, x = hybrid()
    weights, buffers = stack_module_state(models)
    found = vmap(lambda w, b: functional_call(models[0], (w, b), (x,)))(weights, buffers)
    close(found, torch.stack([model(x) for model in models]))


def test_second_derivatives_are_right_or_refused() -> None:
    model, x = quantum_head()
    reference, _ = quantum_head(engine="reference")
    reference.load_state_dict(model.state_dict())
    curved = lambda x: model(x)[..., 0].square().sum()  # noqa: E731
    found = hessian(curved)(x)
    close(found, torch.autograd.functional.hessian(lambda x: reference(x)[..., 0].square().sum(), x))
    step = 1e-5
    nudge = step * torch.eye(15, dtype=x.dtype)[4].view(x.shape)
    slopes = [torch.autograd.functional.jacobian(curved, x + sign * nudge) for sign in (1, -1)]
    torch.testing.assert_close(found[0, 1, 1], (slopes[0] - slopes[1]) / (2 * step), rtol=1e-6, atol=1e-7)
    for ask in (torch.autograd.functional.hessian, torch.autograd.functional.vhp):
        more = () if ask is torch.autograd.functional.hessian else (torch.ones_like(x),)
        with pytest.raises(HilbertuneError, match=r"Only engine='reference' .* has second derivatives"):
            ask(curved, x, *more)
    with pytest.raises(HilbertuneError, match="gives many derivatives at once"):
        torch.autograd.functional.jacobian(model, x, vectorize=True)


TRANSFORMS: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "trace": torch.jit.trace,
    "export": lambda model, x: torch.export.export(model, (x,)),
    "grad": lambda model, x: grad(lambda x: model(x).sum())(x),
    "vmap": lambda model, x: vmap(model)(x[None]),
    "forward": lambda model, x: jvp(model, (x,), (x,)),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_draws_and_kernels_are_refused_under_transforms(transform: str) -> None:
    for settings in ({"shots": 9}, {"noise": Noise(0.01, 0.02)}, {"gradient": "spsa"}, {"gradient": "parameter-shift"}):
        model, x = quantum_head(**settings)
        with pytest.raises(HilbertuneError, match="cannot trace, export or transform shots, noise, or the gradients"):
            TRANSFORMS[transform](model, x)
    for made in (encoder, quantum_head, hybrid):
        model, x = made(engine="cpu")
        with pytest.raises(HilbertuneError, match="what engine='cpu' runs: use engine='reference' or 'auto'"):
            TRANSFORMS[transform](model, x)


@pytest.mark.parametrize("made", [encoder, quantum_head, hybrid])
def test_torchscript_is_refused_in_one_sentence(made: Any) -> None:
    model, _ = made()
    for whole in (model, nn.Sequential(nn.Identity(), model)):
        with pytest.raises(HilbertuneError, match=f"cannot compile the source of a {type(model).__name__}"):
            torch.jit.script(whole)


def test_a_whole_call_is_traced_by_the_reference_engine() -> None:
    weights = torch.randn(1, 6, dtype=torch.float64)
    traced = torch.jit.trace(lambda w: expectation(ansatz(3, 1), w), weights)
    close(traced(2 * weights), expectation(ansatz(3, 1), 2 * weights))


@pytest.mark.parametrize(
    "values", [[[1.0] * 6] * 2, np.ones((2, 6)), torch.ones(2, 6).to_sparse(), torch.ones(2, 6, dtype=torch.complex64)]
)
def test_what_is_no_dense_tensor_is_refused(values: Any) -> None:
    for made in (encoder, quantum_head, hybrid):
        with pytest.raises(HilbertuneError, match=r"must be a (dense )?tensor"):
            made()[0](values)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("settings", [{}, {"shots": 8}], ids=["compiled", "step by step"])
def test_training_does_not_need_gradients_to_be_switched_on(off: Any, settings: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(16, 3))
    y = (X[:, 0] > 0).astype(int)
    made = [HybridClassifier(qubits=3, layers=1, encoder_layers=1, epochs=2, **settings) for _ in range(2)]
    wanted = made[0].fit(X, y).predict_proba(X)
    with off():
        found = made[1].fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(found, wanted)


def test_a_model_of_inference_mode_cannot_learn() -> None:
    with torch.inference_mode():
        model = HybridHead(3, 2, SHAPE)
    y = np.array([0, 1] * 4)
    split = few_shot_split(y, per_class=None, validation=0.0, seed=0)
    with pytest.raises(HilbertuneError, match=r"made under torch.inference_mode cannot learn"):
        train(model, torch.eye(8, 3), torch.from_numpy(y), [split], [TrainingConfig(epochs=1)], [0])
