"""The hybrid model (arXiv 2504.08732): embedding → amplitudes → encoders → angles → re-uploading head → logits.

In: embeddings [batch, features]; with several runs side by side [runs, batch, features].
Out: logits [batch, outputs]. Every parameter has a leading `runs` axis, so that many models train as one program.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from hilbertune.circuit.builders import parts
from hilbertune.circuit.observables import Observable
from hilbertune.circuit.table import Circuit
from hilbertune.config.fields import is_whole
from hilbertune.config.noise import Noise
from hilbertune.config.records import EngineName, Gradient, HeadConfig, Task
from hilbertune.engine.expectations import expectation
from hilbertune.engine.sampling import Engine, Shots
from hilbertune.engine.transforms import refuse_script, require_tensor
from hilbertune.errors import HilbertuneError
from hilbertune.model.classical import ClassicalEncoder, ClassicalHead
from hilbertune.model.loading import AmplitudeLoading
from hilbertune.model.readout import fixed_matrix, logits_of
from hilbertune.model.tensors import draw_angles, draw_uniform, parameter_dtype, torch_seed, undrawn


class QuantumEncoder(nn.Module):
    """Quantum encoders that see the same states, each with its own angles, and return <Z> of all of their qubits."""

    __prepare_scriptable__ = refuse_script

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
        self.weights = nn.Parameter(torch.zeros(runs, encoders, self.circuit.parameters, dtype=parameter_dtype()))
        self.reset_parameters([np.random.default_rng(torch_seed()) for _ in range(runs)])

    def reset_parameters(self, rngs: Sequence[np.random.Generator], start: float = math.pi) -> None:
        """Draw the angles, of at most `start` radians, a generator for each run."""
        draw_angles(self.weights, rngs, start)

    def forward(
        self, amplitudes: Float[Tensor, "runs batch amplitudes"]
    ) -> Float[Tensor, "runs encoders batch qubits"]:
        """Return expectations in [-1, 1] of states of norm 1."""
        require_tensor(amplitudes, "amplitudes")
        runs, encoders, _ = self.weights.shape
        if amplitudes.dim() != 3:
            raise HilbertuneError(
                f"amplitudes must have the shape [runs, batch, amplitudes], not {list(amplitudes.shape)}."
            )
        states = amplitudes[:, None].expand(-1, encoders, -1, -1).flatten(0, 1)
        values: Tensor = expectation(self.circuit, self.weights.flatten(0, 1), amplitudes=states, engine=self.engine)
        return values.view(runs, encoders, *values.shape[1:])


class QuantumHead(nn.Module):
    """A circuit that reads angles, which is the part that runs on a QPU: <Z> of the measured qubits out.

    In the published model it is the re-uploading circuit; any circuit will do.

    Args:
        circuit: what to run; its weights are trained, its inputs are the angles.
        measured_qubits: measure the first ones, as many.
        observables: Pauli words or sums of them, instead of measured qubits (`hilbertune.expectation`).
        shots: see `hilbertune.expectation`, as `gradient`, `noise` and `engine`.
        runs: how many heads stand side by side.
    """

    __prepare_scriptable__ = refuse_script

    def __init__(
        self,
        circuit: Circuit,
        *,
        measured_qubits: int = 1,
        observables: Sequence[Observable] | None = None,
        shots: int | None = None,
        gradient: Gradient = "adjoint",
        noise: Noise | None = None,
        runs: int = 1,
        engine: EngineName = "auto",
    ) -> None:
        super().__init__()
        self.circuit = circuit
        self.measured = tuple(range(measured_qubits))
        self.observables = observables
        self.shots, self.gradient, self.noise = shots, gradient, noise
        self.engine: EngineName | Engine = engine
        self.rngs: Shots | None = None
        self.weights = nn.Parameter(torch.zeros(runs, self.circuit.parameters, dtype=parameter_dtype()))
        self.reset_parameters([np.random.default_rng(torch_seed()) for _ in range(runs)])

    def reset_parameters(self, rngs: Sequence[np.random.Generator], start: float = math.pi) -> None:
        """Draw the angles, of at most `start` radians, a generator for each run."""
        draw_angles(self.weights, rngs, start)

    def forward(self, angles: Float[Tensor, "*runs_batch inputs"]) -> Float[Tensor, "*runs_batch measured"]:
        """Return expectations, sampled if there are shots, for angles in radians.

        A single head also takes angles without the axis `runs`, or without that and `batch`.
        """
        require_tensor(angles, "angles")
        alone = angles.dim() < 3 and len(self.weights) == 1
        values: Tensor = expectation(
            self.circuit,
            self.weights[0] if alone else self.weights,
            angles,
            measured=self.measured if self.observables is None else None,
            observables=self.observables,
            shots=self.shots,
            gradient=self.gradient,
            noise=self.noise,
            rngs=self.rngs,
            engine=self.engine,
        )
        return values


def _shape(config: HeadConfig | None, head: Circuit | None, encoder: Circuit | None) -> HeadConfig:
    """Return a shape with circuits of the user's own in it; without a shape they say how many qubits there are."""
    if config is not None and not isinstance(config, HeadConfig):
        raise HilbertuneError(f"The shape of a head must be a HeadConfig, not {type(config).__name__}.")
    given = {"head_circuit": head, "encoder_circuit": encoder}
    texts: dict[str, Any] = {name: circuit.to_qasm3() for name, circuit in given.items() if circuit is not None}
    if config is not None:
        return replace(config, **texts) if texts else config
    qubits = head.inputs if head is not None else encoder.qubits if encoder is not None else HeadConfig.qubits
    return HeadConfig(qubits=max(1, qubits), **texts)


class HybridHead(nn.Module):
    """Everything between an embedding and the logits, trained together.

    Without the final linear layer the logits are the expectations themselves (measured_qubits = outputs), or
    (<Z>, -<Z>) for two outputs and one measured qubit.

    An ensemble is several heads that answer together. The heads of a model, its members, follow one another on the
    `runs` axis; `evaluation.logits` averages their answers.

    Args:
        features: width of an embedding.
        outputs: number of logits (`tasks.outputs`), 1 or more.
        config: the shape; the default is `HeadConfig()`.
        head: a circuit in the published head's place, as `HeadConfig.head_circuit`.
        encoder: a circuit in the published encoder's place, as `HeadConfig.encoder_circuit`. Without a config the
            number of qubits follows from the circuits.
        runs: how many heads stand side by side.
        members: how many of them, one after another, make one model.
        task: what is predicted, which says how the answers of members are averaged; a single head does not need it.
        engine: see `hilbertune.expectation`.

    Raises:
        HilbertuneError: the shape does not fit the embedding or the number of outputs, or members do not fit the runs.
    """

    __prepare_scriptable__ = refuse_script

    def __init__(
        self,
        features: int,
        outputs: int,
        config: HeadConfig | None = None,
        *,
        head: Circuit | None = None,
        encoder: Circuit | None = None,
        runs: int = 1,
        members: int = 1,
        task: Task | None = None,
        engine: EngineName = "auto",
    ) -> None:
        super().__init__()
        config = _shape(config, head, encoder)
        for name, count in {"features": features, "outputs": outputs, "runs": runs, "members": members}.items():
            if not is_whole(count) or count < 1:
                what = name.removesuffix("s")
                raise HilbertuneError(f"A head needs at least 1 {what}, not {count!r}.")
        if runs % members or (members > 1 and task is None):
            raise HilbertuneError(
                f"{runs} runs cannot be models of {members} members for task={task!r}: "
                "runs must be a multiple of members, which need a task."
            )
        self.members, self.task = members, task
        self.measured_qubits = config.measured(outputs)
        self.config, self.features, self.outputs, self.runs = config, features, outputs, runs
        self.circuits = circuits = parts(config)
        self.loading: AmplitudeLoading | None = None
        self.encoder: QuantumEncoder | ClassicalEncoder
        if "encoder" in circuits:
            self.loading = AmplitudeLoading(config, features, runs)
            self.encoder = QuantumEncoder(circuits["encoder"], encoders=config.encoders, runs=runs, engine=engine)
        else:
            self.encoder = ClassicalEncoder(config, features, runs)
        self.head: QuantumHead | ClassicalHead
        if "head" in circuits:
            self.head = QuantumHead(circuits["head"], measured_qubits=self.measured_qubits, runs=runs, engine=engine)
        else:
            self.head = ClassicalHead(config, self.measured_qubits, runs=runs, engine=engine)
        kind = parameter_dtype()
        self.linear_weight: Tensor
        self.linear_bias: Tensor
        if config.final_linear:
            self.linear_weight = nn.Parameter(torch.zeros(runs, outputs, self.measured_qubits, dtype=kind))
            self.linear_bias = nn.Parameter(torch.zeros(runs, outputs, dtype=kind))
        else:
            # Nothing here is trained, so a saved model does not hold it.
            fixed = torch.from_numpy(fixed_matrix(outputs, self.measured_qubits)).to(kind)
            self.register_buffer("linear_weight", fixed.repeat(runs, 1, 1), persistent=False)
            self.register_buffer("linear_bias", torch.zeros(runs, outputs, dtype=kind), persistent=False)
        if config.input_scale == "trainable":
            self.input_factor = nn.Parameter(torch.full((runs, config.angles), float(config.angle_scale), dtype=kind))
            self.input_shift = nn.Parameter(torch.zeros(runs, config.angles, dtype=kind))
        # Shift and factor [runs, measured] of the expectations, only while they are trained standardised.
        self.standard: tuple[Tensor, Tensor] | None = None
        self.reset_parameters([np.random.default_rng(torch_seed()) for _ in range(runs)])

    def reset_parameters(self, rngs: Sequence[np.random.Generator], start: float = math.pi) -> None:
        """Draw all parameters, a generator for each run, so that a run does not depend on its neighbours.

        The angles of circuits are of at most `start` radians.
        """
        if self.loading is not None:
            self.loading.reset_parameters(rngs)
        for part in (self.encoder, self.head):
            if isinstance(part, QuantumEncoder | QuantumHead):
                part.reset_parameters(rngs, start)
            else:
                part.reset_parameters(rngs)
        if self.config.input_scale == "trainable":
            self.input_factor.data.fill_(self.config.angle_scale)
            self.input_shift.data.zero_()
        if self.config.final_linear:
            for parameter in (self.linear_weight, self.linear_bias):
                draw_uniform(parameter, rngs, 1 / math.sqrt(self.measured_qubits))

    def fit_basis(
        self, embeddings: Float[Tensor, "runs rows features"], weights: Float[Tensor, "runs rows"] | None = None
    ) -> None:
        """Learn mean and principal components of each run's training set, if the configuration uses them.

        Rows may have weights, of mean 1 in each run.
        """
        fitted = self.loading if isinstance(self.encoder, QuantumEncoder) else self.encoder
        assert fitted is not None
        fitted.fit_basis(embeddings, weights)

    @property
    def parameter_count(self) -> int:
        """Trained numbers of one model, all of its members counted."""
        return sum(p.numel() for p in self.parameters()) // self.runs * self.members

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return the logits [batch, outputs] of embeddings [batch, features].

        Both have a leading runs axis if one is given or needed.

        Raises:
            HilbertuneError: the embeddings have another width, another number of runs, or are no dense real tensor.
        """
        require_tensor(embeddings, "embeddings")
        expectations = self.expectations(embeddings)
        if self.standard is not None:
            shift, factor = self.standard
            expectations = (expectations - shift[:, None]) * factor[:, None]
        logits = logits_of(expectations, self.linear_weight[:, None], self.linear_bias[:, None])
        return logits[0] if embeddings.dim() == 2 and self.runs == 1 else logits

    def expectations(self, embeddings: Tensor) -> Float[Tensor, "runs batch measured"]:
        """Return the head's expectations, before the final linear layer."""
        # Half precision is for the base model: amplitudes need single precision at least.
        kind = embeddings.device.type
        with torch.autocast(kind if torch.amp.is_autocast_available(kind) else "cpu", enabled=False):
            return cast(Tensor, self.head(self.angles(embeddings)))

    def angles(self, embeddings: Tensor) -> Float[Tensor, "runs batch angles"]:
        """Return what the encoders hand to the head: angles in radians.

        Raises:
            HilbertuneError: the embeddings have another width, or another number of runs.
        """
        values = self.encoded(embeddings)
        if self.config.input_scale == "trainable":
            return values * self.input_factor[:, None] + self.input_shift[:, None]
        return self.config.angle_scale * values

    def encoded(self, embeddings: Tensor) -> Float[Tensor, "runs batch angles"]:
        """Return the encoders' expectations, a number for each angle, before they are scaled.

        Raises:
            HilbertuneError: the embeddings have another width, or another number of runs.
        """
        x = embeddings.to(self.head.weights.dtype)
        if x.dim() == 2:
            x = x.expand(self.runs, *x.shape)
        if x.dim() != 3 or x.shape[0] != self.runs or x.shape[2] != self.features:
            raise HilbertuneError(
                f"The model takes embeddings of {self.features} numbers for {self.runs} run(s), "
                f"not the shape {list(embeddings.shape)}."
            )
        values: Tensor = self.encoder(x if self.loading is None else self.loading(x))
        return values.mean(1) if self.config.merge == "average" else values.transpose(1, 2).flatten(2)

    def varied(self, **settings: Any) -> "HybridHead":
        """Return a model of the same parameters whose head has other settings; this one, and its threads, keep theirs.

        Args:
            settings: of the head: rngs, shots, noise, gradient, engine.
        """
        made, head = copy.copy(self), copy.copy(self.head)
        vars(head).update(settings)
        made._modules = {**self._modules, "head": head}
        return made

    def select(self, run: int) -> "HybridHead":
        """Return a copy of one of the models that stand side by side, with all of its members."""
        return self._copy(run * self.members, self.members)

    def member(self, number: int) -> "HybridHead":
        """Return a copy of one head of the `runs` axis, as a model of its own."""
        return self._copy(number, 1)

    def _copy(self, first: int, members: int) -> "HybridHead":
        """Return a copy of as many heads, from the first on, as one model."""
        with undrawn():
            made = HybridHead(self.features, self.outputs, self.config, runs=members, members=members, task=self.task)
        made.to(self.head.weights.device, self.head.weights.dtype)
        made.load_state_dict({k: v[first : first + members] for k, v in self.state_dict().items()})
        for name in ("shots", "gradient", "noise", "engine"):
            setattr(made.head, name, getattr(self.head, name))
        if isinstance(self.encoder, QuantumEncoder) and isinstance(made.encoder, QuantumEncoder):
            made.encoder.engine = self.encoder.engine
        return made

    def extra_repr(self) -> str:
        """Return the widths and the number of parameters, for `print`."""
        heads = f", members={self.members}" if self.members > 1 else ""
        return f"{self.features} → {self.outputs}, {self.parameter_count} parameters, runs={self.runs}{heads}"

    def _repr_html_(self) -> str:
        """Return a table of the same, and the circuits, for notebooks."""
        from hilbertune.model.html import head_html  # here: a program without a notebook draws nothing

        return head_html(self)
