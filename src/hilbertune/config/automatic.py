"""The settings that may be left to the data, and the rule that chooses them: a shape that fits, a training that suits.

In: settings by name, some of them "auto", and what the rule asks of the data.
Out: records of values alone. What was given is kept, and the rest is chosen to go with it.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hilbertune.config.circuits import declared
from hilbertune.config.records import PRESETS, HeadConfig, Task, TrainingConfig
from hilbertune.config.sizes import check_qubits
from hilbertune.errors import HilbertuneError

AUTO = "auto"
"""The value of a setting that is left to the data."""

DECLARED = {
    field.name: field.default for record in (HeadConfig, TrainingConfig) for field in dataclasses.fields(record)
}
"""The declared defaults of shape and training."""

AUTOMATIC = tuple(
    field.name
    for record in (HeadConfig, TrainingConfig)
    for field in dataclasses.fields(record)
    if field.metadata["auto"]
)
"""The settings that may be left to the data."""

LEFT_TO_THE_DATA = dict.fromkeys(AUTOMATIC, AUTO)

LEAST_QUBITS, MOST_QUBITS, MOST_RAW_QUBITS = 4, 8, 10
"""Fewest and most qubits that are chosen; more where a row has to be held whole."""


def of_preset(name: str) -> dict[str, Any]:
    """Return the declared settings with the shape that a preset names.

    Raises:
        HilbertuneError: there is no such preset.
    """
    if name not in PRESETS:
        raise HilbertuneError(f"There is no preset {name!r}: choose one of {', '.join(PRESETS)}.")
    return {**DECLARED, **PRESETS[name].to_dict()}


@dataclass(frozen=True)
class Traits:
    """What the rule asks of the data; the defaults stand for data that nobody has seen yet.

    `lengths_differ`: the rows are a table, not embeddings of length 1. `units_differ`: so are they, and the largest
    column would hide the others.
    """

    task: Task = "classification"
    features: int = 8
    classes: int = 2
    lengths_differ: bool = False
    units_differ: bool = False


@dataclass(frozen=True)
class Automatic:
    """Settings of shape and training as they were given, by name; those that are left out have their declared defaults.

    Raises:
        HilbertuneError: a value outside its range, or values that do not go together, whatever the data.
    """

    given: Mapping[str, Any]

    def __post_init__(self) -> None:
        for record in (HeadConfig, TrainingConfig):
            # One by one, before a rule reads them.
            record.check_values({k: v for k, v in _as_tuples(self.given).items() if k not in self.names})
        # A rule counts the amplitudes of as many qubits as were given.
        if type(qubits := self.given.get("qubits")) is int:
            check_qubits(qubits, allow_large=bool(self.given.get("allow_large")))
        self.resolved(Traits(task=self.given.get("task", "classification")))

    @property
    def names(self) -> list[str]:
        """The settings that are left to the data."""
        return [name for name in AUTOMATIC if _is_auto(self.given.get(name))]

    def resolved(self, traits: Traits) -> tuple[HeadConfig, TrainingConfig]:
        """Return the records for these data.

        Raises:
            HilbertuneError: values that do not go together.
        """
        values = resolved(_as_tuples(self.given), traits)
        records = []
        for record in (HeadConfig, TrainingConfig):
            own = {field.name for field in dataclasses.fields(record)}
            records.append(record.from_dict({k: v for k, v in values.items() if k in own}))
        head, training = records
        assert isinstance(head, HeadConfig)
        assert isinstance(training, TrainingConfig)
        training.check_head(head)
        return head, training


def _as_tuples(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the lists of JSON and YAML as tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def resolved(given: Mapping[str, Any], traits: Traits) -> dict[str, Any]:
    """Return settings with a value in place of every "auto"; all others are kept as they are."""
    free = [name for name in RULES if _is_auto(given.get(name))]
    known = {**DECLARED, **{k: v for k, v in given.items() if k not in free}, **dataclasses.asdict(traits)}
    for name in free:
        known[name] = RULES[name](known)
    return {**given, **{name: known[name] for name in free}}


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == AUTO


Known = Mapping[str, Any]
"""What a rule may look at: the traits of the data, and the settings that were given, or chosen before."""


def _basis(known: Known) -> str:
    """Choose principal components, which fit every number of qubits, unless a projection was asked for."""
    return "pca" if known["projection"] is None else "raw"


def _scale(known: Known) -> str:
    """Standardise columns of different units."""
    drawn = known["basis"] == "raw" and known["projection"] in ("random", "trainable")
    return "standardise" if known["units_differ"] and known["encoder"] == "quantum" and not drawn else "none"


def _norm(known: Known) -> str:
    """Keep the length of a row where rows differ in it, and where a row that is held whole leaves room for it."""
    sharers = known["encoders"] if known["merge"] == "concatenate" else 1
    room = 2 ** (known["qubits"] // sharers) - (known["padding"] == "constant")
    fits = not _held_whole(known) or known["features"] < room
    return "keep" if known["lengths_differ"] and known["encoder"] == "quantum" and fits else "drop"


def _constant_share(known: Known) -> float:
    """Take less where the length of a row is kept: it has as large a part in the rest as the row itself."""
    if known["norm"] == "keep":
        return 0.7
    return 0.95 if known["classes"] == 2 else 0.9


def _qubits(known: Known) -> int:
    """Take the fewest qubits that hold a row with an amplitude to spare, within bounds, and whatever was asked for.

    Circuits that were given have their own.
    """
    sharers = int(known["encoders"]) if known["merge"] == "concatenate" else 1
    if known["head_circuit"] is not None:
        inputs = declared(known["head_circuit"], "head_circuit").inputs
        return inputs // int(known["encoders"]) if known["merge"] == "alternate" else inputs
    if known["encoder_circuit"] is not None:
        return sharers * declared(known["encoder_circuit"], "encoder_circuit").qubits
    amplitudes = known["features"] + 2 + (known["norm"] == "keep")
    whole = _held_whole(known)
    fitting = math.ceil(math.log2(amplitudes)) * (sharers if whole else 1)
    count = max(
        min(max(fitting, LEAST_QUBITS), MOST_RAW_QUBITS if whole else MOST_QUBITS),
        min(known["classes"], MOST_QUBITS) if known["final_linear"] else known["classes"],
        known["measured_qubits"] or 1,
        known["connectivity"] + 1,
        sharers * ((known["encoder_connectivity"] or 1) + 1),
    )
    if known["encoder"] == "pca":
        # Each qubit of each encoder takes a principal component of its own.
        count = max(min(count, known["features"] * sharers // known["encoders"]) // sharers, 1) * sharers
    return int(-(-count // sharers) * sharers)


def _held_whole(known: Known) -> bool:
    """Tell if every number of a row needs an amplitude, because nothing reduces it."""
    return bool(known["encoder"] == "quantum" and known["basis"] == "raw" and known["projection"] is None)


def _encoder_layers(known: Known) -> int:
    """Take more layers for several classes, whose logits need the state turned further; numbers are one output."""
    if known["encoder_circuit"] is not None:
        return HeadConfig.encoder_layers
    return 8 if known["classes"] <= 2 else 24


def _reuploads(known: Known) -> int:
    """Read the angles once, which is as good as more often; in turn every encoder needs its own."""
    if known["head_circuit"] is not None:
        return HeadConfig.reuploads
    return int(known["encoders"]) if known["merge"] == "alternate" else 1


def _schedule(known: Known) -> str:
    """Take one cycle, unless what was given belongs to a rate that does not end."""
    endless = known["learning_rate_decay"] != 1.0 or known["patience"] is not None or known["frozen"]
    return "decay" if endless else "one-cycle"


def _learning_rate(known: Known) -> float:
    """Take the higher rate that a cycle bears, otherwise the declared one."""
    return 0.02 if known["schedule"] == "one-cycle" else TrainingConfig.learning_rate


def _keep(known: Known) -> str:
    """Keep the last weights where the rate ends at 0: the best of many epochs on few rows is best by luck."""
    return "last" if known["schedule"] == "one-cycle" and known["patience"] is None else "best"


def _standardise(known: Known) -> bool:
    """Standardise the readout where a final linear layer can take the scale in."""
    return bool(known["head"] != "none" and known["final_linear"] and not known["frozen"])


def _training_shots(known: Known) -> int | None:
    """Add the noise of shots, which works against overfitting, where there is no noise of another kind.

    Several expectations, and numbers, bear less of it than a yes or no.
    """
    noisy = known["shots"] is not None or any(known[f"{kind}_error"] for kind in ("one_qubit", "two_qubit", "readout"))
    if noisy or known["frozen"] or known["gradient"] != "adjoint" or known["head"] != "quantum":
        return None
    return 64 if known["classes"] == 2 else 1024


def _exact_start(known: Known) -> float:
    """Begin without shots, as long as the rate of a cycle rises: with them a few seeds began to learn late or never."""
    return 0.15 if known["training_shots"] is not None else 0.0


RULES: dict[str, Callable[[Known], Any]] = {
    "basis": _basis,
    "scale": _scale,
    "norm": _norm,
    "constant_share": _constant_share,
    "qubits": _qubits,
    "encoder_layers": _encoder_layers,
    "reuploads": _reuploads,
    "schedule": _schedule,
    "learning_rate": _learning_rate,
    "keep": _keep,
    "standardise": _standardise,
    "training_shots": _training_shots,
    "exact_start": _exact_start,
}
"""The rule of each setting, in an order in which a rule may look at the settings above it."""
