"""Amplitude loading: embeddings become states of norm 1.

In: embeddings [runs, batch, features].
Out: amplitudes [runs, batch, width or 2^qubits], after a change of basis, a projection and padding as configured.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from hilbertune.config.records import HeadConfig
from hilbertune.errors import HilbertuneError
from hilbertune.model.tensors import parameter_dtype, principal_components, product, unit, weighted_mean

CONSTANT = 1e-7
"""Deviation of a column, as a share of its largest entry, below which it counts as constant."""


class AmplitudeLoading(nn.Module):
    """The change of basis, projection, normalisation and padding that make states of norm 1 of embeddings.

    The embedding x, scaled to norm 1, takes the first amplitudes. With `padding="zero"` (published) the others are 0:
    an expectation is then a quadratic form in x, blind to its sign. With `padding="constant"` (ours) they are equal and
    take `constant_share` of the norm, which gives the quadratic form its linear and constant terms.

    With `scale="standardise"` columns are first shifted and scaled as the training rows say, all of it folded into one
    shift and one matrix. With `norm="keep"` the amplitudes before padding are (x, c) / sqrt(|x|^2 + c^2), where c is
    the root mean square length of the training rows: the length of a row is then seen too.

    Raises:
        HilbertuneError: the embedding is wider than the state and no projection is chosen.
    """

    def __init__(self, config: HeadConfig, features: int, runs: int = 1) -> None:
        super().__init__()
        self.mean: Tensor
        self.matrix: Tensor
        self.length: Tensor
        self.config, self.features = config, features
        self.width = min(features, config.capacity)
        self.taken = self.width + (config.norm == "keep")
        self.free = (1 << config.encoder_qubits) - self.taken
        self.rest = 0.0
        if config.padding == "constant":
            self.rest = config.constant_share / math.sqrt(self.free)
        wide = features > config.capacity
        if wide and config.projection is None and config.basis == "raw":
            raise HilbertuneError(
                f"An embedding of {features} numbers does not fit the {config.capacity} amplitudes of "
                f"{config.encoder_qubits} qubits: use more qubits, "
                "projection='truncate', 'random', 'pca' or 'trainable', or basis='pca'."
            )
        self.components = config.basis == "pca" or (wide and config.projection == "pca")
        self.fitted_to_data = self.components or config.scale == "standardise"
        self.trainable = wide and not self.fitted_to_data and config.projection == "trainable"
        shape, kind = (runs, self.width, features), parameter_dtype()
        if self.fitted_to_data:
            # Until `fit_basis` the embedding is taken as it is, so that a model without data still sees its input.
            self.register_buffer("mean", torch.zeros(runs, features, dtype=kind))
            self.register_buffer("matrix", torch.eye(*shape[1:], dtype=kind).repeat(runs, 1, 1))
        elif wide and config.projection == "random":
            self.register_buffer("matrix", torch.zeros(shape, dtype=kind))
        elif self.trainable:
            self.matrix = nn.Parameter(torch.zeros(shape, dtype=kind))
        if config.norm == "keep":
            self.register_buffer("length", torch.ones(runs, dtype=kind))

    @property
    def of_runs(self) -> list[Tensor]:
        """What may differ from run to run [runs, ...]; nothing where all load alike."""
        return [
            values.detach()
            for name in ("mean", "matrix", "length")
            if (values := getattr(self, name, None)) is not None
        ]

    def reset_parameters(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draw the random or trainable projection, a generator for each run.

        Its entries are independent and normal, its rows about 1 long.
        """
        if "matrix" in dict(self.named_parameters()) or (hasattr(self, "matrix") and not self.fitted_to_data):
            scale = 1 / math.sqrt(self.features)
            for run, rng in enumerate(rngs):
                drawn = torch.from_numpy(rng.normal(0, scale, (self.width, self.features)))
                self.matrix.data[run].copy_(drawn)

    def fit_basis(
        self, embeddings: Float[Tensor, "runs rows features"], weights: Float[Tensor, "runs rows"] | None = None
    ) -> None:
        """Learn scale, basis and typical length of each run's training set, as far as the configuration uses them.

        Rows may have weights, of mean 1 in each run.
        """
        if not self.fitted_to_data and self.config.norm == "drop":
            return
        for run, own in enumerate(embeddings):
            rows, shares = own.double(), None if weights is None else weights[run]
            if self.fitted_to_data:
                # The heads of an ensemble have the same rows, and an SVD takes longer than to see that.
                if run == 0 or not torch.equal(own, embeddings[run - 1]):
                    mean, kept = self._basis(rows) if shares is None else self._basis(rows, shares)
                self.mean[run].copy_(mean)
                self.matrix[run].zero_()
                self.matrix[run, : len(kept)].copy_(kept)
            if self.config.norm == "keep":
                x = rows - self.mean[run].double() if self.fitted_to_data else rows
                x = x @ self.matrix[run].detach().double().T if hasattr(self, "matrix") else x[:, : self.width]
                length = weighted_mean(x.square().sum(1, keepdim=True), shares)[0].sqrt()
                # Rows that are all at the origin have no length to compare others with.
                self.length[run].copy_(torch.where(length > 0, length, 1.0))

    def _basis(
        self, rows: Float[Tensor, "rows features"], weights: Float[Tensor, " rows"] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the shift [features] and the matrix [at most width, features] that the training rows ask for."""
        if self.config.scale == "none":
            mean, kept, _ = principal_components(rows, self.width, weights)
            return mean, kept
        mean = weighted_mean(rows, weights)
        deviation = rows.std(0, correction=0) if weights is None else weighted_mean((rows - mean) ** 2, weights).sqrt()
        # What single precision cannot tell apart is constant; a column that says nothing in training is left out.
        varies = deviation > CONSTANT * rows.abs().amax(0)
        factor = torch.where(varies, 1 / torch.where(varies, deviation, 1.0), 0.0)
        if not self.components:
            return mean, torch.diag(factor)[: self.width]
        _, kept, _ = principal_components((rows - mean) * factor, self.width, weights)
        return mean, kept * factor

    def forward(self, embeddings: Float[Tensor, "runs batch features"]) -> Float[Tensor, "runs batch amplitudes"]:
        """Return amplitudes of states of norm 1.

        With zero padding these are the embedding's alone, since the engines take what is not given for 0.
        """
        x = self.leading(embeddings)
        if self.config.padding == "zero":
            return x
        return functional.normalize(functional.pad(x, (0, self.free), value=self.rest), dim=-1)

    def leading(
        self, embeddings: Float[Tensor, "runs batch features"], runs: Int[Tensor, " runs"] | None = None
    ) -> Float[Tensor, "runs batch taken"]:
        """Return the amplitudes that a row takes, its length's included; each of the `free` others is `rest`.

        The embeddings are those of all runs, or of `runs` alone.
        """
        which = slice(None) if runs is None else runs
        x = embeddings
        if self.fitted_to_data:
            x = x - self.mean[which, None]
        x = product(x, self.matrix[which]) if hasattr(self, "matrix") else x[..., : self.width]
        if self.config.norm == "keep":
            x = torch.cat([x, self.length[which, None, None].expand(*x.shape[:2], 1)], dim=-1)
        x = unit(x)
        if self.config.padding == "zero":
            return x
        return math.sqrt(1 - self.config.constant_share**2) * x
