"""Every hyperparameter, declared once: name, letter of the publication, default, range, help.

In: numbers and names. Out: frozen records, checked when made: `HeadConfig` (the model's shape), `TrainingConfig` (how it is trained) and `TuningConfig` (how
the embedding model learns with it).
The command line, the scikit-learn estimator, the model directory and the documentation read these declarations.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args, get_type_hints

from hilbertune.errors import HilbertuneError


def hyperparameter(
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
class Checked:
    """A record whose fields are checked against their declarations."""

    def __post_init__(self) -> None:
        hints = _hints(type(self))
        for field in dataclasses.fields(self):
            value, hint = getattr(self, field.name), hints[field.name]
            allowed = choices(hint)
            if allowed:
                if isinstance(value, tuple) and field.metadata["numbers"]:
                    if not all(_is_weight(v) for v in value):
                        raise HilbertuneError(f"{field.name} must hold numbers from 0 up, not {value!r}.")
                elif value not in allowed:
                    raise HilbertuneError(f"{field.name} must be one of {allowed}, not {value!r}.")
                continue
            kinds = tuple(k for k in (get_args(hint) or (hint,)) if isinstance(k, type))
            number = isinstance(value, int) and not isinstance(value, bool) and float in kinds
            if not (number or (isinstance(value, kinds) and isinstance(value, bool) == (bool in kinds))):
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
