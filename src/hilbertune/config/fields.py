"""The declaration of a hyperparameter, and records that are checked against their declarations.

In: a default, a range and a help text for each field of a record; values.
Out: frozen records; ranges in words and lists of choices for the command line, the estimators and the documentation.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, Self, get_args, get_type_hints

from hilbertune.errors import HilbertuneError, shown


def hyperparameter(
    default: Any,
    help: str,
    *,
    letter: str = "",
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    most: int | None = 1_000_000,
    numbers: bool = False,
    later: bool = False,
    auto: str = "",
) -> Any:
    """Declare a field of a record.

    Args:
        default: its value unless another is given.
        help: sentences that the command line and the documentation print.
        letter: its letter in the publication.
        low: smallest value allowed.
        high: largest value allowed.
        above: number below every value allowed.
        below: number above every value allowed.
        most: largest whole number that a machine can compute with, more of which is refused; None leaves that to the
            record.
        numbers: a tuple of numbers is allowed instead of a choice.
        later: it was declared after results were stored: at its default an identity leaves it out.
        auto: for a setting that may be left to the data: what `automatic` chooses, as part of a sentence.
    """
    limits = {"low": low, "high": high, "above": above, "below": below}
    return dataclasses.field(
        default=default,
        metadata={
            "help": help,
            "letter": letter,
            "limits": limits,
            "most": most,
            "numbers": numbers,
            "later": later,
            "auto": auto,
        },
    )


def limits_text(limits: dict[str, float | None]) -> str:
    """Return the range of a hyperparameter in words."""
    words = {"low": "at least", "high": "at most", "above": "above", "below": "below"}
    return " and ".join(f"{words[k]} {v:g}" for k, v in limits.items() if v is not None and v != float("inf"))


def choices(hint: Any) -> list[Any]:
    """Return the values that a Literal allows (with None for an optional one), nothing for other types."""
    if getattr(hint, "__origin__", None) is Literal:
        return list(get_args(hint))
    nested = [choice for part in get_args(hint) for choice in choices(part)]
    return [*nested, None] if nested else []


# A study makes thousands of records.
_hints: Callable[[Any], dict[str, Any]] = functools.cache(get_type_hints)


@dataclass(frozen=True)
class Checked:
    """A record whose fields are checked against their declarations when it is made.

    Raises:
        HilbertuneError: a value of another type, outside its range or not among its choices.
    """

    def __post_init__(self) -> None:
        self.check_values({field.name: getattr(self, field.name) for field in dataclasses.fields(self)})

    @classmethod
    def check_values(cls, values: Mapping[str, Any]) -> None:
        """Raise HilbertuneError if one of these values is not allowed by the declaration of its field alone."""
        hints = _hints(cls)
        for field in dataclasses.fields(cls):
            if field.name not in values:
                continue
            value, hint = values[field.name], hints[field.name]
            if allowed := choices(hint):
                _check_choice(field, value, allowed)
            else:
                _check_type(field.name, value, hint)
                _check_range(field.name, value, field.metadata["limits"])
                most = field.metadata["most"]
                if most is not None and type(value) is int and int in (get_args(hint) or (hint,)) and value > most:
                    raise HilbertuneError(f"{field.name} can be at most {most:,}, not {shown(value)}: lower it.")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Make the record from settings by name.

        Raises:
            HilbertuneError: a name is unknown, or a value is not allowed.
        """
        if not isinstance(values, dict):
            raise HilbertuneError(f"{cls.__name__} needs settings by name, not {shown(values)}.")
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known, key=str):
            raise HilbertuneError(f"{shown(unknown[0])} is not a setting of {cls.__name__}.")
        # JSON has lists in place of tuples.
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """Return the settings by name."""
        return dataclasses.asdict(self)

    def identity(self) -> dict[str, Any]:
        """Return the settings by name for hashes and files: without those declared later that have their default.

        So whatever was hashed or stored before such a setting was declared is found again.
        """
        default = {field.name: field.default for field in dataclasses.fields(self) if field.metadata["later"]}
        return {k: v for k, v in self.to_dict().items() if k not in default or v != default[k]}


def _check_choice(field: "dataclasses.Field[Any]", value: Any, allowed: list[Any]) -> None:
    """Raise HilbertuneError if a value is neither one of the choices nor numbers in their place."""
    if isinstance(value, tuple) and field.metadata["numbers"]:
        if not all(_is_weight(v) for v in value):
            raise HilbertuneError(f"{field.name} must hold numbers of at least 0, not {shown(value)}.")
    elif value not in allowed:
        raise HilbertuneError(f"{field.name} must be one of {allowed}, not {shown(value)}.")


def _check_type(name: str, value: Any, hint: Any) -> None:
    """Raise HilbertuneError if a value has another type; an int is a float, a bool is not an int."""
    kinds = tuple(k for k in (get_args(hint) or (hint,)) if isinstance(k, type))
    number = isinstance(value, int) and not isinstance(value, bool) and float in kinds
    if not (number or (isinstance(value, kinds) and isinstance(value, bool) == (bool in kinds))):
        wanted = " or ".join("None" if k is type(None) else k.__name__ for k in kinds)
        raise HilbertuneError(f"{name} must be {wanted}, not {shown(value)}.")


def _check_range(name: str, value: Any, limits: dict[str, float | None]) -> None:
    """Raise HilbertuneError if a value lies outside its range; NaN lies outside of every range."""
    low, high, above, below = (limits[k] for k in ("low", "high", "above", "below"))
    inside = value is None or (
        (low is None or value >= low)
        and (high is None or value <= high)
        and (above is None or value > above)
        and (below is None or value < below)
        and value == value
    )
    if not inside:
        raise HilbertuneError(f"{name} must be {limits_text(limits)}, not {shown(value)}.")


def is_whole(value: object) -> bool:
    """Return True for a whole number of Python or NumPy."""
    return isinstance(value, Integral)


def _is_weight(value: Any) -> bool:
    """Return True for a finite number of at least 0."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value < float("inf")
