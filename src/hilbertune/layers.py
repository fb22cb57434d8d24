"""The torch modules: embedding → amplitudes → encoder(s) → angles → re-uploading head → expectations → linear layer → logits.

In: embeddings [batch, features]. Out: logits [batch, outputs]. Every parameter has a leading `runs` axis, so that many models train as one program;
with one run (the default) inputs and outputs need no such axis. Source of the model: arXiv 2504.08732.
"""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from hilbertune.circuit import Circuit, parts
from hilbertune.config import Gradient, HeadConfig
from hilbertune.engine import EngineName, expectation
from hilbertune.engine.noise import Noise
from hilbertune.engine.sampling import Engine
from hilbertune.errors import HilbertuneError


class AmplitudeLoading(nn.Module):
    """Embeddings to states of norm 1: change of basis, projection, normalisation, padding.

    The embedding x, scaled to norm 1, takes the first amplitudes. With `padding="zero"` (published) the others are 0: an expectation is
    then a quadratic form in x, blind to its sign. With `padding="constant"` (ours) they are equal and take `constant_share` of the
    norm, which gives the quadratic form its linear and constant terms.
    """

    def __init__(self, config: HeadConfig, features: int, runs: int = 1) -> None:
        """
        Raises:
            HilbertuneError: the embedding is wider than the state and no projection is chosen.
        """
        super().__init__()
        self.mean: Tensor
        self.matrix: Tensor
        self.config, self.features = config, features
        self.width = min(features, config.capacity)
        self.free = (1 << config.encoder_qubits) - self.width
        self.rest = 0.0
        if config.padding == "constant":
            self.rest = config.constant_share / math.sqrt(self.free)
        wide = features > config.capacity
        if wide and config.projection is None and config.basis == "raw":
            raise HilbertuneError(
                f"An embedding of {features} numbers does not fit the {config.capacity} amplitudes of "
                f"{config.encoder_qubits} qubits: use more qubits, a projection ('truncate', 'random', 'pca', 'trainable') or basis='pca'."
            )
        self.fitted_to_data = config.basis == "pca" or (wide and config.projection == "pca")
        self.trainable = wide and not self.fitted_to_data and config.projection == "trainable"
        shape = (runs, self.width, features)
        if self.fitted_to_data:
            # Until `fit_basis` the embedding is taken as it is, so that a model without data still sees its input.
            self.register_buffer("mean", torch.zeros(runs, features))
            self.register_buffer("matrix", torch.eye(*shape[1:]).repeat(runs, 1, 1))
        elif wide and config.projection == "random":
            self.register_buffer("matrix", torch.zeros(shape))
        elif self.trainable:
            self.matrix = nn.Parameter(torch.zeros(shape))

    def reset_parameters(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draw the random or trainable projection, a generator for each run: independent normal entries, rows of length about 1."""
        if "matrix" in dict(self.named_parameters()) or (
            hasattr(self, "matrix") and not self.fitted_to_data
        ):
            scale = 1 / math.sqrt(self.features)
            for run, rng in enumerate(rngs):
                drawn = torch.from_numpy(rng.normal(0, scale, (self.width, self.features)))
                self.matrix.data[run].copy_(drawn)

    def fit_basis(self, embeddings: Float[Tensor, "runs rows features"]) -> None:
        """Learn mean and principal components of each run's training set, if the configuration uses them."""
        if not self.fitted_to_data:
            return
        for run, rows in enumerate(embeddings.double()):
            mean, kept, _ = _principal_components(rows, self.width)
            self.mean[run].copy_(mean)
            self.matrix[run].zero_()
            self.matrix[run, : len(kept)].copy_(kept)

    def forward(
        self, embeddings: Float[Tensor, "runs batch features"]
    ) -> Float[Tensor, "runs batch amplitudes"]:
        """Amplitudes of states of norm 1; with zero padding only the embedding's: the engines take what is not given for 0."""
        x = self.leading(embeddings)
        if self.config.padding == "zero":
            return x
        return functional.normalize(functional.pad(x, (0, self.free), value=self.rest), dim=-1)

    def leading(
        self, embeddings: Float[Tensor, "runs batch features"]
    ) -> Float[Tensor, "runs batch width"]:
        """The amplitudes that the embedding takes; each of the `free` others is `rest`."""
        x = embeddings
        if self.fitted_to_data:
            x = x - self.mean[:, None]
        x = _product(x, self.matrix) if hasattr(self, "matrix") else x[..., : self.width]
        x = functional.normalize(x, dim=-1)
        if self.config.padding == "zero":
            return x
        return math.sqrt(1 - self.config.constant_share**2) * x


class QuantumEncoder(nn.Module):
    """Encoders with parameters of their own that see the same states; each yields <Z> of all of its qubits."""

    def __init__(
        self,
        circuit: Circuit,
        *,
        encoders: int = 1,
        runs: int = 1,
        engine: EngineName = "auto",
    ) -> None:
        super().__init__()
        self.circuit = circuit
        self.engine: EngineName = engine
        self.weights = nn.Parameter(torch.zeros(runs, encoders, self.circuit.parameters))
        self.reset_parameters([np.random.default_rng(_torch_seed()) for _ in range(runs)])

    def reset_parameters(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draw the angles, a generator for each run."""
        _draw_angles(self.weights, rngs)

    def forward(
        self, amplitudes: Float[Tensor, "runs batch amplitudes"]
    ) -> Float[Tensor, "runs encoders batch qubits"]:
        """Expectations in [-1, 1] of states of norm 1."""
        runs, encoders, _ = self.weights.shape
        states = amplitudes[:, None].expand(-1, encoders, -1, -1).flatten(0, 1)
        values: Tensor = expectation(
            self.circuit, self.weights.flatten(0, 1), amplitudes=states, engine=self.engine
        )
        return values.view(runs, encoders, *values.shape[1:])


class ClassicalEncoder(nn.Module):
    """What stands in for loading and quantum encoders in comparisons: a trained affine map and tanh ("linear"), or the leading
    principal components of the training set, each scaled to a standard deviation of 1 ("pca"; nothing in it is trained).
    """

    def __init__(self, config: HeadConfig, features: int, runs: int = 1) -> None:
        """
        Raises:
            HilbertuneError: an embedding with fewer numbers than principal components.
        """
        super().__init__()
        self.mean: Tensor
        self.matrix: Tensor
        self.linear = config.encoder == "linear"
        self.encoders, self.features = config.encoders, features
        width = config.encoders * config.encoder_qubits
        if self.linear:
            self.weights = nn.Parameter(torch.zeros(runs, width, features + 1))
            return
        if features < width:
            raise HilbertuneError(
                f"An embedding of {features} numbers has no {width} principal components: use fewer qubits."
            )
        self.register_buffer("mean", torch.zeros(runs, features))
        self.register_buffer("matrix", torch.eye(width, features).repeat(runs, 1, 1))

    def reset_parameters(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draw the map, a generator for each run."""
        if self.linear:
            _draw_uniform(self.weights, rngs, 1 / math.sqrt(self.features))

    def fit_basis(self, embeddings: Float[Tensor, "runs rows features"]) -> None:
        """Learn the principal components of each run's training set, if they are used."""
        if self.linear:
            return
        for run, rows in enumerate(embeddings.double()):
            mean, components, deviations = _principal_components(rows, self.matrix.shape[1])
            self.mean[run].copy_(mean)
            self.matrix[run].zero_()
            # A direction in which the training set does not vary says nothing.
            scales = torch.where(deviations > 1e-12, deviations, torch.inf)
            self.matrix[run, : len(components)].copy_(components / scales[:, None])

    def forward(
        self, embeddings: Float[Tensor, "runs batch features"]
    ) -> Float[Tensor, "runs encoders batch qubits"]:
        """Numbers that take the place of expectations."""
        if self.linear:
            # Entries of about 1, whatever the length and the norm of an embedding.
            x = math.sqrt(self.features) * functional.normalize(embeddings, dim=-1)
            values = torch.tanh(_affine(x, self.weights))
        else:
            values = _product(embeddings - self.mean[:, None], self.matrix)
        return values.view(*values.shape[:2], self.encoders, -1).transpose(1, 2)


class ClassicalHead(nn.Module):
    """What stands in for the quantum head in comparisons: two dense layers with tanh, the first as wide as the head has qubits
    ("dense"), or nothing ("none"). It has no shots, and ignores those it is given.
    """

    def __init__(
        self,
        config: HeadConfig,
        measured_qubits: int,
        *,
        runs: int = 1,
        engine: EngineName = "auto",
    ) -> None:
        super().__init__()
        self.dense, self.qubits, self.inputs = config.head == "dense", config.qubits, config.angles
        self.measured = tuple(range(measured_qubits))
        self.shots: int | None = None
        self.gradient: Gradient = "adjoint"
        self.noise: Noise | None = None
        self.engine: EngineName | Engine = engine
        self.rngs: Sequence[np.random.Generator] | None = None
        size = self.qubits * (self.inputs + 1) + measured_qubits * (self.qubits + 1)
        self.weights = nn.Parameter(torch.zeros(runs, size if self.dense else 0))

    def reset_parameters(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draw the layers, a generator for each run."""
        _draw_uniform(self.weights, rngs, 1 / math.sqrt(self.qubits))

    def forward(
        self, angles: Float[Tensor, "runs batch inputs"]
    ) -> Float[Tensor, "runs batch measured"]:
        """Numbers that take the place of expectations."""
        if not self.dense:
            return angles
        hidden, outputs = torch.split(
            self.weights,
            [self.qubits * (self.inputs + 1), len(self.measured) * (self.qubits + 1)],
            1,
        )
        hidden = hidden.reshape(len(hidden), self.qubits, -1)
        outputs = outputs.reshape(len(outputs), len(self.measured), -1)
        return torch.tanh(_affine(torch.tanh(_affine(angles, hidden)), outputs))


class QuantumHead(nn.Module):
    """The re-uploading circuit: angles in, <Z> of the first `measured_qubits` out. This is the part that runs on a QPU."""

    def __init__(
        self,
        circuit: Circuit,
        *,
        measured_qubits: int = 1,
        shots: int | None = None,
        gradient: Gradient = "adjoint",
        noise: Noise | None = None,
        runs: int = 1,
        engine: EngineName = "auto",
    ) -> None:
        super().__init__()
        self.circuit = circuit
        self.measured = tuple(range(measured_qubits))
        self.shots, self.gradient, self.noise = shots, gradient, noise
        self.engine: EngineName | Engine = engine
        self.rngs: Sequence[np.random.Generator] | None = None
        self.weights = nn.Parameter(torch.zeros(runs, self.circuit.parameters))
        self.reset_parameters([np.random.default_rng(_torch_seed()) for _ in range(runs)])

    def reset_parameters(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draw the angles, a generator for each run."""
        _draw_angles(self.weights, rngs)

    def forward(
        self, angles: Float[Tensor, "runs batch inputs"]
    ) -> Float[Tensor, "runs batch measured"]:
        """Expectations in [-1, 1], sampled if there are shots, for angles in radians."""
        values: Tensor = expectation(
            self.circuit,
            self.weights,
            angles,
            measured=self.measured,
            shots=self.shots,
            gradient=self.gradient,
            noise=self.noise,
            rngs=self.rngs,
            engine=self.engine,
        )
        return values


class HybridHead(nn.Module):
    """Everything between an embedding and the logits, trained together.

    Without the final linear layer the logits are the expectations themselves (measured_qubits = outputs), or (<Z>, -<Z>) for two
    outputs and one measured qubit.
    """

    def __init__(
        self,
        features: int,
        outputs: int,
        config: HeadConfig | None = None,
        *,
        runs: int = 1,
        engine: EngineName = "auto",
    ) -> None:
        """
        Args:
            features: width of an embedding.
            outputs: number of logits (hilbertune.tasks.outputs), 1 or more.
            config: the shape; the default is `HeadConfig()`.
            runs: how many models stand side by side.
            engine: see `hilbertune.expectation`.

        Raises:
            HilbertuneError: the shape does not fit the embedding or the number of outputs.
        """
        super().__init__()
        config = config or HeadConfig()
        if outputs < 1:
            raise HilbertuneError(f"A head needs at least 1 output, not {outputs}.")
        self.measured_qubits = config.measured(outputs)
        readable = {(outputs, outputs), (1, 2)}
        if not config.final_linear and (self.measured_qubits, outputs) not in readable:
            raise HilbertuneError(
                f"Without the final linear layer {outputs} outputs need measured_qubits = {outputs}"
                f"{' or 1' if outputs == 2 else ''}, not {self.measured_qubits}."
            )
        self.config, self.features, self.outputs, self.runs = config, features, outputs, runs
        self.circuits = circuits = parts(config)
        self.loading: AmplitudeLoading | None = None
        self.encoder: QuantumEncoder | ClassicalEncoder
        if "encoder" in circuits:
            self.loading = AmplitudeLoading(config, features, runs)
            self.encoder = QuantumEncoder(
                circuits["encoder"], encoders=config.encoders, runs=runs, engine=engine
            )
        else:
            self.encoder = ClassicalEncoder(config, features, runs)
        self.head: QuantumHead | ClassicalHead
        if "head" in circuits:
            self.head = QuantumHead(
                circuits["head"], measured_qubits=self.measured_qubits, runs=runs, engine=engine
            )
        else:
            self.head = ClassicalHead(config, self.measured_qubits, runs=runs, engine=engine)
        if config.final_linear:
            self.linear_weight = nn.Parameter(torch.zeros(runs, outputs, self.measured_qubits))
            self.linear_bias = nn.Parameter(torch.zeros(runs, outputs))
        self.reset_parameters([np.random.default_rng(_torch_seed()) for _ in range(runs)])

    def reset_parameters(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draw all parameters, a generator for each run, so that a run does not depend on its neighbours."""
        if self.loading is not None:
            self.loading.reset_parameters(rngs)
        self.encoder.reset_parameters(rngs)
        self.head.reset_parameters(rngs)
        if self.config.final_linear:
            for parameter in (self.linear_weight, self.linear_bias):
                _draw_uniform(parameter, rngs, 1 / math.sqrt(self.measured_qubits))

    def fit_basis(self, embeddings: Float[Tensor, "runs rows features"]) -> None:
        """Learn what is taken from each run's training set before training: mean and principal components, if they are used."""
        fitted = self.loading if isinstance(self.encoder, QuantumEncoder) else self.encoder
        assert fitted is not None
        fitted.fit_basis(embeddings)

    @property
    def parameter_count(self) -> int:
        """Trained numbers of one model."""
        return sum(p.numel() for p in self.parameters()) // self.runs

    def forward(self, embeddings: Tensor) -> Tensor:
        """Logits [batch, outputs] of embeddings [batch, features]; [runs, batch, ...] where a runs axis is given or needed.

        Raises:
            HilbertuneError: the embeddings have another width, or another number of runs.
        """
        expectations = self.expectations(embeddings)
        if self.config.final_linear:
            # A product and a sum rather than a matrix product: the same bits, however many runs stand side by side.
            products = expectations[..., None, :] * self.linear_weight[:, None]
            logits = products.sum(-1) + self.linear_bias[:, None]
        elif self.measured_qubits == self.outputs:
            logits = expectations
        else:
            logits = torch.cat([expectations, -expectations], dim=-1)
        return logits[0] if embeddings.dim() == 2 and self.runs == 1 else logits

    def expectations(self, embeddings: Tensor) -> Float[Tensor, "runs batch measured"]:
        """The head's expectations, before the final linear layer."""
        # Half precision is for the base model: amplitudes need single precision at least.
        with torch.autocast(embeddings.device.type, enabled=False):
            return cast(Tensor, self.head(self.angles(embeddings)))

    def angles(self, embeddings: Tensor) -> Float[Tensor, "runs batch angles"]:
        """What the encoders hand to the head: angles in radians."""
        x = embeddings.to(self.head.weights.dtype)
        if x.dim() == 2:
            x = x.expand(self.runs, *x.shape)
        if x.dim() != 3 or x.shape[0] != self.runs or x.shape[2] != self.features:
            raise HilbertuneError(
                f"The model takes embeddings of {self.features} numbers for {self.runs} run(s), not the shape {list(embeddings.shape)}."
            )
        values: Tensor = self.encoder(x if self.loading is None else self.loading(x))
        if self.config.merge == "average":
            values = values.mean(1)
        else:
            values = values.transpose(1, 2).flatten(2)
        return self.config.angle_scale * values

    def select(self, run: int) -> "HybridHead":
        """A copy of one of the runs, as a model of its own."""
        single = HybridHead(self.features, self.outputs, self.config)
        single.to(self.head.weights.device, self.head.weights.dtype)
        single.load_state_dict({k: v[run : run + 1] for k, v in self.state_dict().items()})
        for name in ("shots", "gradient", "noise", "engine"):
            setattr(single.head, name, getattr(self.head, name))
        if isinstance(self.encoder, QuantumEncoder) and isinstance(single.encoder, QuantumEncoder):
            single.encoder.engine = self.encoder.engine
        return single

    def extra_repr(self) -> str:
        return (
            f"{self.features} → {self.outputs}, {self.parameter_count} parameters, runs={self.runs}"
        )


def _torch_seed() -> int:
    """A seed from torch's global generator, so that torch.manual_seed governs a module made by hand."""
    return int(torch.randint(1 << 62, ()).item())


def _draw_angles(weights: nn.Parameter, rngs: Sequence[np.random.Generator]) -> None:
    """Angles uniform over a full turn (our choice: the publication is silent)."""
    for run, rng in enumerate(rngs):
        drawn = rng.uniform(-math.pi, math.pi, weights.shape[1:])
        weights.data[run].copy_(torch.from_numpy(drawn))


def _draw_uniform(weights: nn.Parameter, rngs: Sequence[np.random.Generator], bound: float) -> None:
    """Numbers uniform between -bound and bound, as torch draws those of a linear layer."""
    for run, rng in enumerate(rngs):
        drawn = rng.uniform(-bound, bound, weights.shape[1:])
        weights.data[run].copy_(torch.from_numpy(np.asarray(drawn)))


def _principal_components(
    rows: Float[Tensor, "rows features"], count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [features], components [at most count, features] and the rows' standard deviations along them."""
    mean = rows.mean(0)
    _, singular, components = torch.linalg.svd(rows - mean, full_matrices=False)
    components = components[:count]
    # A component's sign is arbitrary: fix it, so that machines agree.
    largest = components.gather(1, components.abs().argmax(1, keepdim=True))
    deviations = singular[:count] / math.sqrt(max(1, len(rows) - 1))
    return mean, components * largest.sign(), deviations


def _product(
    x: Float[Tensor, "runs batch features"], matrix: Float[Tensor, "runs width features"]
) -> Float[Tensor, "runs batch width"]:
    # A matrix product rounds differently where a matrix does not start on a cache line: with rows of zeros that fill up
    # the lines of each run, forward and backward give the same bits, however many runs stand side by side.
    line, batch, width = 16, x.shape[1], matrix.shape[1]
    if width * x.shape[2] % line:
        matrix = functional.pad(matrix, (0, 0, 0, -width % line))
    if batch % line:
        x = functional.pad(x, (0, 0, 0, -batch % line))
    return (x @ matrix.transpose(1, 2))[:, :batch, :width]


def _affine(
    x: Float[Tensor, "runs batch features"], weights: Float[Tensor, "runs width _"]
) -> Float[Tensor, "runs batch width"]:
    """Linear layers side by side; the last column of the weights is the bias."""
    return _product(x, weights[:, :, :-1].contiguous()) + weights[:, None, :, -1]
