"""Classical stand-ins for the quantum parts of the model, or for all of it, for comparisons.

In: embeddings [runs, batch, features], or angles [runs, batch, inputs].
Out: numbers in place of the encoders' or the head's expectations; or logits.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from hilbertune.config.noise import Noise
from hilbertune.config.records import EngineName, Gradient, HeadConfig
from hilbertune.engine.sampling import Engine, Shots
from hilbertune.errors import HilbertuneError
from hilbertune.model.tensors import affine, draw_uniform, parameter_dtype, principal_components, product, unit


class ClassicalEncoder(nn.Module):
    """A stand-in for amplitude loading and quantum encoders.

    Either a trained affine map and tanh ("linear"), or the leading principal components of the training set, each
    scaled to a standard deviation of 1 ("pca"; nothing in it is trained).

    Raises:
        HilbertuneError: an embedding has fewer numbers than there are principal components.
    """

    def __init__(self, config: HeadConfig, features: int, runs: int = 1) -> None:
        super().__init__()
        self.mean: Tensor
        self.matrix: Tensor
        self.linear = config.encoder == "linear"
        self.encoders, self.features = config.encoders, features
        width = config.encoders * config.encoder_qubits
        if self.linear:
            self.weights = nn.Parameter(torch.zeros(runs, width, features + 1, dtype=parameter_dtype()))
            return
        if features < width:
            raise HilbertuneError(
                f"An embedding of {features} numbers has no {width} principal components: use fewer qubits."
            )
        self.register_buffer("mean", torch.zeros(runs, features, dtype=parameter_dtype()))
        self.register_buffer("matrix", torch.eye(width, features, dtype=parameter_dtype()).repeat(runs, 1, 1))

    def reset_parameters(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draw the map, a generator for each run."""
        if self.linear:
            draw_uniform(self.weights, rngs, 1 / math.sqrt(self.features))

    def fit_basis(
        self, embeddings: Float[Tensor, "runs rows features"], weights: Float[Tensor, "runs rows"] | None = None
    ) -> None:
        """Learn the principal components of each run's training set, if the configuration uses them."""
        if self.linear:
            return
        for run, rows in enumerate(embeddings.double()):
            mean, components, deviations = principal_components(
                rows, self.matrix.shape[1], None if weights is None else weights[run]
            )
            self.mean[run].copy_(mean)
            self.matrix[run].zero_()
            # A direction in which the training set does not vary says nothing.
            scales = torch.where(deviations > 1e-12 * deviations.amax(), deviations, torch.inf)
            self.matrix[run, : len(components)].copy_(components / scales[:, None])

    def forward(self, embeddings: Float[Tensor, "runs batch features"]) -> Float[Tensor, "runs encoders batch qubits"]:
        """Return numbers that take the place of expectations."""
        if self.linear:
            # Entries of about 1, whatever the length and the norm of an embedding.
            x = math.sqrt(self.features) * unit(embeddings)
            values = torch.tanh(affine(x, self.weights))
        else:
            values = product(embeddings - self.mean[:, None], self.matrix)
        return values.view(*values.shape[:2], self.encoders, values.shape[2] // self.encoders).transpose(1, 2)


class LinearHead(nn.Module):
    """One linear layer [features] → [outputs] in place of encoders, quantum head and readout: the plain way to train.

    It has no shots. Its weights begin at zero.
    """

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.features, self.outputs = features, outputs
        self.weight = nn.Parameter(torch.zeros(outputs, features, dtype=parameter_dtype()))
        self.bias = nn.Parameter(torch.zeros(outputs, dtype=parameter_dtype()))

    @property
    def parameter_count(self) -> int:
        """Trained numbers of the layer."""
        return self.weight.numel() + self.bias.numel()

    @torch.no_grad()
    def set_to(self, coefficients: np.ndarray, intercepts: np.ndarray) -> None:
        """Begin with a fitted logistic regression, whose single row for two classes becomes two of opposite sign."""
        if len(coefficients) == 1:
            coefficients, intercepts = (np.stack([-v[0], v[0]]) / 2 for v in (coefficients, intercepts))
        self.weight.copy_(torch.from_numpy(coefficients))
        self.bias.copy_(torch.from_numpy(intercepts))

    def forward(self, embeddings: Float[Tensor, "batch features"]) -> Float[Tensor, "batch outputs"]:
        """Return the logits of a batch."""
        return nn.functional.linear(embeddings, self.weight, self.bias)


class ClassicalHead(nn.Module):
    """A stand-in for the quantum head.

    Either two dense layers with tanh, the first as wide as the head has qubits ("dense"), or nothing ("none"). It has
    no shots, and ignores those it is given.
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
        self.rngs: Shots | None = None
        size = self.qubits * (self.inputs + 1) + measured_qubits * (self.qubits + 1)
        self.weights = nn.Parameter(torch.zeros(runs, size if self.dense else 0, dtype=parameter_dtype()))

    def reset_parameters(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draw the layers, a generator for each run."""
        draw_uniform(self.weights, rngs, 1 / math.sqrt(self.qubits))

    def forward(self, angles: Float[Tensor, "runs batch inputs"]) -> Float[Tensor, "runs batch measured"]:
        """Return numbers that take the place of expectations."""
        if not self.dense:
            return angles
        sizes = [self.qubits * (self.inputs + 1), len(self.measured) * (self.qubits + 1)]
        hidden, outputs = torch.split(self.weights, sizes, 1)
        hidden = hidden.reshape(len(hidden), self.qubits, -1)
        outputs = outputs.reshape(len(outputs), len(self.measured), -1)
        return torch.tanh(affine(torch.tanh(affine(angles, hidden)), outputs))
