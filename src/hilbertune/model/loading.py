"""Amplitude loading: embeddings become states of norm 1.

In: embeddings [runs, batch, features].
Out: amplitudes [runs, batch, width or 2^qubits], after a change of basis, a projection and padding as configured.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from hilbertune.config.records import HeadConfig
from hilbertune.errors import HilbertuneError
from hilbertune.model.tensors import principal_components, product


class AmplitudeLoading(nn.Module):
    """The change of basis, projection, normalisation and padding that make states of norm 1 of embeddings.

    The embedding x, scaled to norm 1, takes the first amplitudes. With `padding="zero"` (published) the others are 0:
    an expectation is then a quadratic form in x, blind to its sign. With `padding="constant"` (ours) they are equal and
    take `constant_share` of the norm, which gives the quadratic form its linear and constant terms.

    Raises:
        HilbertuneError: the embedding is wider than the state and no projection is chosen.
    """

    def __init__(self, config: HeadConfig, features: int, runs: int = 1) -> None:
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
                f"{config.encoder_qubits} qubits: use more qubits, "
                "a projection ('truncate', 'random', 'pca', 'trainable') or basis='pca'."
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
        """Draw the random or trainable projection, a generator for each run.

        Its entries are independent and normal, its rows about 1 long.
        """
        if "matrix" in dict(self.named_parameters()) or (hasattr(self, "matrix") and not self.fitted_to_data):
            scale = 1 / math.sqrt(self.features)
            for run, rng in enumerate(rngs):
                drawn = torch.from_numpy(rng.normal(0, scale, (self.width, self.features)))
                self.matrix.data[run].copy_(drawn)

    def fit_basis(self, embeddings: Float[Tensor, "runs rows features"]) -> None:
        """Learn mean and principal components of each run's training set, if the configuration uses them."""
        if not self.fitted_to_data:
            return
        for run, rows in enumerate(embeddings.double()):
            mean, kept, _ = principal_components(rows, self.width)
            self.mean[run].copy_(mean)
            self.matrix[run].zero_()
            self.matrix[run, : len(kept)].copy_(kept)

    def forward(self, embeddings: Float[Tensor, "runs batch features"]) -> Float[Tensor, "runs batch amplitudes"]:
        """Return amplitudes of states of norm 1.

        With zero padding these are the embedding's alone, since the engines take what is not given for 0.
        """
        x = self.leading(embeddings)
        if self.config.padding == "zero":
            return x
        return functional.normalize(functional.pad(x, (0, self.free), value=self.rest), dim=-1)

    def leading(self, embeddings: Float[Tensor, "runs batch features"]) -> Float[Tensor, "runs batch width"]:
        """Return the amplitudes that the embedding takes; each of the `free` others is `rest`."""
        x = embeddings
        if self.fitted_to_data:
            x = x - self.mean[:, None]
        x = product(x, self.matrix) if hasattr(self, "matrix") else x[..., : self.width]
        x = functional.normalize(x, dim=-1)
        if self.config.padding == "zero":
            return x
        return math.sqrt(1 - self.config.constant_share**2) * x
