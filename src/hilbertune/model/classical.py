"""The torch modules: embedding → amplitudes → encoder(s) → angles → re-uploading head → expectations → linear layer → logits.

In: embeddings [batch, features]. Out: logits [batch, outputs]. Every parameter has a leading `runs` axis, so that many models train as one program;
with one run (the default) inputs and outputs need no such axis. Source of the model: arXiv 2504.08732.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from hilbertune.config.noise import Noise
from hilbertune.config.records import EngineName, Gradient, HeadConfig
from hilbertune.engine.sampling import Engine
from hilbertune.errors import HilbertuneError
from hilbertune.model.tensors import affine, draw_uniform, principal_components, product


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
            draw_uniform(self.weights, rngs, 1 / math.sqrt(self.features))

    def fit_basis(self, embeddings: Float[Tensor, "runs rows features"]) -> None:
        """Learn the principal components of each run's training set, if they are used."""
        if self.linear:
            return
        for run, rows in enumerate(embeddings.double()):
            mean, components, deviations = principal_components(rows, self.matrix.shape[1])
            self.mean[run].copy_(mean)
            self.matrix[run].zero_()
            # A direction in which the training set does not vary says nothing.
            scales = torch.where(deviations > 1e-12, deviations, torch.inf)
            self.matrix[run, : len(components)].copy_(components / scales[:, None])

    def forward(self, embeddings: Float[Tensor, "runs batch features"]) -> Float[Tensor, "runs encoders batch qubits"]:
        """Numbers that take the place of expectations."""
        if self.linear:
            # Entries of about 1, whatever the length and the norm of an embedding.
            x = math.sqrt(self.features) * functional.normalize(embeddings, dim=-1)
            values = torch.tanh(affine(x, self.weights))
        else:
            values = product(embeddings - self.mean[:, None], self.matrix)
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
        draw_uniform(self.weights, rngs, 1 / math.sqrt(self.qubits))

    def forward(self, angles: Float[Tensor, "runs batch inputs"]) -> Float[Tensor, "runs batch measured"]:
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
        return torch.tanh(affine(torch.tanh(affine(angles, hidden)), outputs))
