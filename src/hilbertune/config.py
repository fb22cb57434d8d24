"""Every hyperparameter, declared once: name, letter of the publication, default, range, help.

In: numbers and names. Out: frozen records, checked when made: `HeadConfig` (the model's shape), `TrainingConfig` (how it is trained) and `TuningConfig` (how
the embedding model learns with it).
The command line, the scikit-learn estimator, the model directory and the documentation read these declarations.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, get_args, get_type_hints

from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    from hilbertune.engine.noise import Noise

Merge = Literal["concatenate", "average", "alternate"]
Padding = Literal["zero", "constant"]
Basis = Literal["raw", "pca"]
Projection = Literal["truncate", "random", "pca", "trainable"]
Gradient = Literal["adjoint", "parameter-shift", "spsa"]
EncoderKind = Literal["quantum", "linear", "pca"]
HeadKind = Literal["quantum", "dense", "none"]
Task = Literal["classification", "one-vs-rest", "multi-label", "ordinal", "regression"]
ClassWeight = Literal["balanced"] | tuple[float, ...]
Tune = Literal["frozen", "contrastive", "joint", "contrastive+joint"]
Precision = Literal["auto", "float32", "bfloat16"]

MAX_QUBITS = 26
"""More qubits than this are refused unless `allow_large` is set: at 24 qubits a thread that trains takes 1.5 GiB, at 26 it takes 6 GiB."""


def _hyperparameter(
    default: Any,
    help: str,
    *,
    letter: str = "",
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    numbers: bool = False,
) -> Any:
    """A field: `low` and `high` are allowed values at the ends, `above` and `below` are not; with `numbers` a choice may be a tuple of them."""
    limits = {"low": low, "high": high, "above": above, "below": below}
    return dataclasses.field(
        default=default,
        metadata={"help": help, "letter": letter, "limits": limits, "numbers": numbers},
    )


def limits_text(limits: dict[str, float | None]) -> str:
    """The range of a hyperparameter in words."""
    words = {"low": "at least", "high": "at most", "above": "above", "below": "below"}
    return " and ".join(f"{words[k]} {v:g}" for k, v in limits.items() if v is not None)


# A study makes thousands of records.
_hints: Callable[[Any], dict[str, Any]] = functools.cache(get_type_hints)


@dataclass(frozen=True)
class _Checked:
    """A record whose fields are checked against their declarations."""

    def __post_init__(self) -> None:
        hints = _hints(type(self))
        for field in dataclasses.fields(self):
            value, hint = getattr(self, field.name), hints[field.name]
            allowed = choices(hint)
            if allowed:
                if isinstance(value, tuple) and field.metadata["numbers"]:
                    if not all(_is_weight(v) for v in value):
                        raise HilbertuneError(
                            f"{field.name} must hold numbers from 0 up, not {value!r}."
                        )
                elif value not in allowed:
                    raise HilbertuneError(f"{field.name} must be one of {allowed}, not {value!r}.")
                continue
            kinds = tuple(k for k in (get_args(hint) or (hint,)) if isinstance(k, type))
            number = isinstance(value, int) and not isinstance(value, bool) and float in kinds
            if not (
                number or (isinstance(value, kinds) and isinstance(value, bool) == (bool in kinds))
            ):
                wanted = " or ".join("None" if k is type(None) else k.__name__ for k in kinds)
                raise HilbertuneError(f"{field.name} must be {wanted}, not {value!r}.")
            limits = field.metadata["limits"]
            if value is not None and not _inside(value, limits):
                raise HilbertuneError(f"{field.name} must be {limits_text(limits)}, not {value}.")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Make the record from a dictionary; an unknown name is refused.

        Raises:
            HilbertuneError: a name or a value is not allowed.
        """
        if not isinstance(values, dict):
            raise HilbertuneError(f"{cls.__name__} needs settings by name, not {values!r}.")
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise HilbertuneError(f"{unknown[0]!r} is no setting of {cls.__name__}.")
        # JSON knows no tuples.
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """The settings by name."""
        return dataclasses.asdict(self)


def choices(hint: Any) -> list[Any]:
    """The values that a Literal allows (None among them for an optional one), empty for other types."""
    if getattr(hint, "__origin__", None) is Literal:
        return list(get_args(hint))
    nested = [choice for part in get_args(hint) for choice in choices(part)]
    return [*nested, None] if nested else []


def _is_weight(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value < float("inf")


def _inside(value: float, limits: dict[str, float | None]) -> bool:
    low, high, above, below = (limits[k] for k in ("low", "high", "above", "below"))
    return (
        (low is None or value >= low)
        and (high is None or value <= high)
        and (above is None or value > above)
        and (below is None or value < below)
        and value == value
    )


@dataclass(frozen=True)
class HeadConfig(_Checked):
    """The shape of a hybrid head: encoder(s), re-uploading head, final linear layer.

    Raises:
        HilbertuneError: a value outside its range, or values that do not go together.
    """

    qubits: int = _hyperparameter(10, "Qubits of the head.", letter="Q", low=1)
    encoders: int = _hyperparameter(
        1, "Encoders that see the embedding.", letter="E", low=1, high=1000
    )
    encoder: EncoderKind = _hyperparameter(
        "quantum",
        "What makes angles of an embedding: a circuit, or for comparison a trained linear map (and tanh), or its leading principal components.",
    )
    merge: Merge = _hyperparameter(
        "concatenate",
        "How several encoders become the head's angles: side by side (each has qubits / encoders qubits), "
        "their average, or in turn from block to block.",
    )
    encoder_layers: int = _hyperparameter(4, "Layers of an encoder's ansatz.", low=0, high=1000)
    encoder_connectivity: int | None = _hyperparameter(
        None,
        "Connectivity of an encoder's ansatz; none is 5, or its qubits - 1 if that is less.",
        low=1,
    )
    head: HeadKind = _hyperparameter(
        "quantum",
        "What reads the angles: a circuit, or for comparison a dense layer as wide as the qubits (and tanh), or the linear layer alone.",
    )
    reuploads: int = _hyperparameter(
        4, "How often the head reads its angles.", letter="R", low=1, high=1000
    )
    layers: int = _hyperparameter(
        2, "Layers of the head's main block.", letter="M", low=0, high=1000
    )
    reupload_layers: int = _hyperparameter(
        1, "Layers of the head's re-uploading block.", letter="N", low=0, high=1000
    )
    connectivity: int = _hyperparameter(
        1, "Ring offsets 1..C of the head's CNOTs, below the number of qubits.", letter="C", low=1
    )
    column: bool = _hyperparameter(True, "A column of RY after the first layer of an ansatz.")
    entanglement: bool = _hyperparameter(
        True, "The CNOTs of every ansatz; without, the rotations alone."
    )
    shared_reupload: bool = _hyperparameter(False, "The re-uploading blocks share their weights.")
    measured_qubits: int | None = _hyperparameter(
        None,
        "Qubits of the head that are measured; none is 1 for two classes (published), else one for each class.",
        low=1,
    )
    final_linear: bool = _hyperparameter(
        True, "A linear layer from expectations to classes.", letter="F"
    )
    angle_scale: float = _hyperparameter(
        1.0,
        "Radians by which an expectation of 1 turns a qubit of the head.",
        above=0.0,
        below=float("inf"),
    )
    padding: Padding = _hyperparameter(
        "constant", "What fills the amplitudes that the embedding leaves free."
    )
    constant_share: float = _hyperparameter(
        0.8, "Share of the state's norm that constant padding takes.", above=0.0, below=1.0
    )
    basis: Basis = _hyperparameter(
        "raw",
        "The embedding as it is, or centred and in the principal components of the training set; "
        "of these, a state that is too small holds the leading ones.",
    )
    projection: Projection | None = _hyperparameter(
        None, "How an embedding that is wider than the state is made to fit; none refuses it."
    )
    allow_large: bool = _hyperparameter(False, f"Allow more than {MAX_QUBITS} qubits.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.qubits > MAX_QUBITS and not self.allow_large:
            raise HilbertuneError(
                f"{self.qubits} qubits take {1.5 * 2.0 ** min(self.qubits - 24, 1000):.0f} GiB of memory for each thread that trains: "
                "set allow_large (--allow-large) if you mean it."
            )
        if self.merge == "concatenate" and self.qubits % self.encoders:
            raise HilbertuneError(
                f"{self.encoders} encoders side by side cannot share {self.qubits} qubits evenly: "
                "choose a multiple, or merge='average' or 'alternate'."
            )
        if self.measured_qubits is not None and self.measured_qubits > self.qubits:
            raise HilbertuneError(
                f"measured_qubits must be at most qubits = {self.qubits}, not {self.measured_qubits}."
            )
        if self.merge == "alternate" and self.reuploads < self.encoders:
            raise HilbertuneError(
                f"With merge='alternate' every encoder needs a block: reuploads must be {self.encoders} or more."
            )
        if self.head == "none" and not (self.final_linear and self.measured_qubits is None):
            raise HilbertuneError(
                "With head='none' the linear layer reads every angle: keep final_linear, and leave measured_qubits out."
            )
        for name, qubits, layers in (
            ("encoder_connectivity", self.encoder_qubits, self.encoder_layers),
            ("connectivity", self.qubits, max(self.layers, self.reupload_layers)),
        ):
            value = getattr(self, name)
            if layers and qubits < 2:
                raise HilbertuneError(
                    f"A layer of {name.replace('_', ' ')} needs at least 2 qubits."
                )
            if layers and value is not None and value >= qubits:
                raise HilbertuneError(
                    f"{name} must lie between 1 and qubits - 1 = {qubits - 1}, not {value}."
                )

    @property
    def encoder_qubits(self) -> int:
        """Qubits of each encoder: qubits / encoders side by side, all of them otherwise."""
        return self.qubits // self.encoders if self.merge == "concatenate" else self.qubits

    @property
    def angles(self) -> int:
        """How many angles the encoders hand to the head."""
        return self.encoders * self.encoder_qubits if self.merge != "average" else self.qubits

    @property
    def encoder_offsets(self) -> int:
        """Connectivity of the encoders, the default spelled out."""
        return self.encoder_connectivity or min(5, self.encoder_qubits - 1)

    def measured(self, outputs: int) -> int:
        """How many qubits a model of so many logits measures, the default spelled out; without a head the number of angles."""
        if self.head == "none":
            return self.angles
        return self.measured_qubits or (1 if outputs == 2 else min(outputs, self.qubits))

    @property
    def capacity(self) -> int:
        """How many numbers of an embedding an encoder's state can hold; constant padding needs one amplitude."""
        return (1 << self.encoder_qubits) - (self.padding == "constant")


@dataclass(frozen=True)
class TrainingConfig(_Checked):
    """How a head is trained: Adam on the loss of its task.

    Raises:
        HilbertuneError: a value outside its range.
    """

    task: Task = _hyperparameter(
        "classification",
        "What is predicted: one class (cross-entropy), one class by a yes or no for each, any number of classes, a step of a scale, or a number.",
    )
    class_weight: ClassWeight | None = _hyperparameter(
        None,
        "Rare classes count as much as frequent ones, a weight for each class, or none: each row counts alike.",
        numbers=True,
    )

    epochs: int = _hyperparameter(60, "Passes over the training set.", low=1)
    batch_size: int = _hyperparameter(16, "Sentences of a training step.", letter="B", low=1)
    learning_rate: float = _hyperparameter(
        0.005, "Learning rate of Adam.", letter="L", above=0.0, below=float("inf")
    )
    learning_rate_decay: float = _hyperparameter(
        1.0, "Factor on the learning rate after every epoch.", letter="γ", above=0.0, high=1.0
    )
    weight_decay: float = _hyperparameter(
        0.0, "L2 penalty on all parameters.", letter="ρ", low=0.0, below=float("inf")
    )
    shots: int | None = _hyperparameter(
        None, "Shots for each expectation of the head; none is exact.", letter="S", low=1
    )
    gradient: Gradient = _hyperparameter(
        "adjoint", "Gradient of the head: exact, or what hardware would return."
    )
    one_qubit_error: float = _hyperparameter(
        0.0, "Depolarizing rate after every one-qubit gate of the head.", low=0.0, high=1.0
    )
    two_qubit_error: float = _hyperparameter(
        0.0, "Depolarizing rate after every two-qubit gate of the head.", low=0.0, high=1.0
    )
    readout_error: float = _hyperparameter(
        0.0, "Probability that a measured qubit is read wrongly.", low=0.0, high=0.5
    )
    trajectories: int = _hyperparameter(
        8, "Random courses of the noise for each sentence, if there is noise.", low=1
    )
    frozen: bool = _hyperparameter(
        False, "Leave the circuits as they were drawn: only the final linear layer learns."
    )
    patience: int | None = _hyperparameter(
        None,
        "Stop after so many epochs without a better validation result; none never stops.",
        low=1,
    )

    @property
    def noise(self) -> "Noise | None":
        """The gate and readout errors, None without any."""
        from hilbertune.engine.noise import Noise

        errors = self.one_qubit_error, self.two_qubit_error, self.readout_error
        return Noise(*errors, self.trajectories) if any(errors) else None


@dataclass(frozen=True)
class TuningConfig(_Checked):
    """How the embedding model (the base) learns: not at all, from pairs of sentences before the head (SetFit), or together with it.

    Raises:
        HilbertuneError: a value outside its range, or values that do not go together.
    """

    tune: Tune = _hyperparameter(
        "frozen",
        "The base stays as it is, learns from pairs of sentences before the head is trained (SetFit), learns with the head, or both.",
    )
    base_learning_rate: float = _hyperparameter(
        2e-5, "Learning rate of the base's last layer.", above=0.0, below=float("inf")
    )
    contrastive_steps: int = _hyperparameter(
        100, "Steps of the contrastive stage, each with one batch of pairs.", low=1
    )
    contrastive_batch_size: int = _hyperparameter(
        16, "Pairs of sentences in a contrastive step.", low=1
    )
    tuning_epochs: int = _hyperparameter(
        3, "Passes over the training set in which base and head learn together.", low=1
    )
    tuning_batch_size: int = _hyperparameter(
        16, "Sentences that go through the base at once while it learns with the head.", low=1
    )
    accumulation: int = _hyperparameter(
        1, "Batches whose gradients are added up before a step of base and head.", low=1
    )
    tuned_layers: int | None = _hyperparameter(
        None, "Last layers of the base that learn with the head; none is all of it.", low=1
    )
    layer_decay: float = _hyperparameter(
        0.9,
        "Factor on the learning rate from a layer of the base to the one below.",
        above=0.0,
        high=1.0,
    )
    lora_rank: int | None = _hyperparameter(
        None, "Rank of LoRA adapters that learn instead of the base's own weights.", low=1
    )
    precision: Precision = _hyperparameter(
        "auto", "Arithmetic of the base while it learns; auto is bfloat16 on a GPU that has it."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lora_rank is not None and self.tuned_layers is not None:
            raise HilbertuneError(
                "LoRA adapters sit in every layer: leave out either lora_rank or tuned_layers."
            )


PRESETS: dict[str, HeadConfig] = {
    "published-886": HeadConfig(
        qubits=14,
        encoders=2,
        merge="average",
        encoder_layers=5,
        encoder_connectivity=5,
        padding="zero",
        basis="raw",
    ),
    "published-374": HeadConfig(
        qubits=10, encoder_layers=5, encoder_connectivity=5, padding="zero", basis="raw"
    ),
}
"""Models consistent with arXiv 2504.08732 (886 parameters at 14 qubits), not confirmed by it: the encoders' layers, their
connectivity and the merge are not published."""
