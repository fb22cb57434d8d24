"""The torch modules: embedding → amplitudes → encoder(s) → angles → re-uploading head → expectations → linear layer → logits.

In: embeddings [batch, features]. Out: logits [batch, classes]. Every parameter has a leading `runs` axis, so that many models train as one program;
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
            mean = rows.mean(0)
            components = torch.linalg.svd(rows - mean, full_matrices=False).Vh[: self.width]
            # A component's sign is arbitrary: fix it, so that machines agree.
            largest = components.gather(1, components.abs().argmax(1, keepdim=True))
            kept = components * largest.sign()
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
        x = self._change_basis(x) if hasattr(self, "matrix") else x[..., : self.width]
        x = functional.normalize(x, dim=-1)
        if self.config.padding == "zero":
            return x
        return math.sqrt(1 - self.config.constant_share**2) * x

    def _change_basis(
        self, x: Float[Tensor, "runs batch features"]
    ) -> Float[Tensor, "runs batch width"]:
        # A matrix product rounds differently where a matrix does not start on a cache line: with rows of zeros that fill up
        # the lines of each run, forward and backward give the same bits, however many runs stand side by side.
        line, batch = 16, x.shape[1]
        matrix = self.matrix
        if self.width * self.features % line:
            matrix = functional.pad(matrix, (0, 0, 0, -self.width % line))
        if batch % line:
            x = functional.pad(x, (0, 0, 0, -batch % line))
        return (x @ matrix.transpose(1, 2))[:, :batch, : self.width]


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


class QuantumHead(nn.Module):
    """The re-uploading circuit: angles in, <Z> of the first `measured_qubits` out. This is the part that runs on a QPU."""

    def __init__(
        self,
        circuit: Circuit,
        *,
        measured_qubits: int = 1,
        shots: int | None = None,
        gradient: Gradient = "adjoint",
        runs: int = 1,
        engine: EngineName = "auto",
    ) -> None:
        super().__init__()
        self.circuit = circuit
        self.measured = tuple(range(measured_qubits))
        self.shots, self.gradient = shots, gradient
        self.engine: EngineName = engine
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
            rngs=self.rngs,
            engine=self.engine,
        )
        return values


class HybridHead(nn.Module):
    """Everything between an embedding and the classes' logits, trained together.

    Without the final linear layer the logits are the expectations themselves (measured_qubits = classes), or (<Z>, -<Z>) for two
    classes and one measured qubit.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        config: HeadConfig | None = None,
        *,
        runs: int = 1,
        engine: EngineName = "auto",
    ) -> None:
        """
        Args:
            features: width of an embedding.
            classes: number of logits, 2 or more.
            config: the shape; the default is `HeadConfig()`.
            runs: how many models stand side by side.
            engine: see `hilbertune.expectation`.

        Raises:
            HilbertuneError: the shape does not fit the embedding or the number of classes.
        """
        super().__init__()
        config = config or HeadConfig()
        if classes < 2:
            raise HilbertuneError(f"A classifier needs at least 2 classes, not {classes}.")
        self.measured_qubits = config.measured(classes)
        readable = {(classes, classes), (1, 2)}
        if not config.final_linear and (self.measured_qubits, classes) not in readable:
            raise HilbertuneError(
                f"Without the final linear layer {classes} classes need measured_qubits = {classes}"
                f"{' or 1' if classes == 2 else ''}, not {self.measured_qubits}."
            )
        self.config, self.features, self.classes, self.runs = config, features, classes, runs
        self.loading = AmplitudeLoading(config, features, runs)
        circuits = parts(config)
        self.encoder = QuantumEncoder(
            circuits["encoder"], encoders=config.encoders, runs=runs, engine=engine
        )
        self.head = QuantumHead(
            circuits["head"], measured_qubits=self.measured_qubits, runs=runs, engine=engine
        )
        if config.final_linear:
            self.linear_weight = nn.Parameter(torch.zeros(runs, classes, self.measured_qubits))
            self.linear_bias = nn.Parameter(torch.zeros(runs, classes))
        self.reset_parameters([np.random.default_rng(_torch_seed()) for _ in range(runs)])

    def reset_parameters(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draw all parameters, a generator for each run, so that a run does not depend on its neighbours."""
        self.loading.reset_parameters(rngs)
        self.encoder.reset_parameters(rngs)
        self.head.reset_parameters(rngs)
        if self.config.final_linear:
            bound = 1 / math.sqrt(self.measured_qubits)
            for parameter in (self.linear_weight, self.linear_bias):
                for run, rng in enumerate(rngs):
                    drawn = rng.uniform(-bound, bound, parameter.shape[1:])
                    parameter.data[run].copy_(torch.from_numpy(np.asarray(drawn)))

    @property
    def parameter_count(self) -> int:
        """Trained numbers of one model."""
        return sum(p.numel() for p in self.parameters()) // self.runs

    def forward(self, embeddings: Tensor) -> Tensor:
        """Logits [batch, classes] of embeddings [batch, features]; [runs, batch, ...] where a runs axis is given or needed.

        Raises:
            HilbertuneError: the embeddings have another width, or another number of runs.
        """
        expectations = self.expectations(embeddings)
        if self.config.final_linear:
            # A product and a sum rather than a matrix product: the same bits, however many runs stand side by side.
            products = expectations[..., None, :] * self.linear_weight[:, None]
            logits = products.sum(-1) + self.linear_bias[:, None]
        elif self.measured_qubits == self.classes:
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
        values: Tensor = self.encoder(self.loading(x))
        if self.config.merge == "average":
            values = values.mean(1)
        else:
            values = values.transpose(1, 2).flatten(2)
        return self.config.angle_scale * values

    def select(self, run: int) -> "HybridHead":
        """A copy of one of the runs, as a model of its own."""
        single = HybridHead(self.features, self.classes, self.config, engine=self.head.engine)
        single.to(self.head.weights.device, self.head.weights.dtype)
        single.load_state_dict({k: v[run : run + 1] for k, v in self.state_dict().items()})
        single.head.shots, single.head.gradient = self.head.shots, self.head.gradient
        return single

    def extra_repr(self) -> str:
        return (
            f"{self.features} → {self.classes}, {self.parameter_count} parameters, runs={self.runs}"
        )


def _torch_seed() -> int:
    """A seed from torch's global generator, so that torch.manual_seed governs a module made by hand."""
    return int(torch.randint(1 << 62, ()).item())


def _draw_angles(weights: nn.Parameter, rngs: Sequence[np.random.Generator]) -> None:
    """Angles uniform over a full turn (our choice: the publication is silent)."""
    for run, rng in enumerate(rngs):
        drawn = rng.uniform(-math.pi, math.pi, weights.shape[1:])
        weights.data[run].copy_(torch.from_numpy(drawn))
