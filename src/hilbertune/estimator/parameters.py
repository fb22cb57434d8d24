"""The parameters of the estimators, read off the declarations of `config`.

In: an estimator class and the names that it leaves out.
Out: the class with a constructor, a signature that scikit-learn reads, and a docstring that shows the real defaults.
"""

import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Collection
from typing import Any, Literal, TypeVar, get_type_hints

from hilbertune.config.automatic import AUTO
from hilbertune.config.fields import Checked, hyperparameter, limits_text
from hilbertune.config.records import HeadConfig, InputConfig, MachineConfig, TrainingConfig, TuningConfig


@dataclasses.dataclass(frozen=True)
class ReportConfig(Checked):
    """What is told of a training, and to whom; neither changes what is trained unless a callback stops it."""

    verbose: int = hyperparameter(
        0, "Progress on stderr: none (0), a bar for each stage (1), and a line for each epoch (2).", low=0
    )
    callbacks: Any = hyperparameter(
        None, "List of objects that are told of every epoch and may stop the training, such as EarlyStopping()."
    )


RECORDS = (HeadConfig, TrainingConfig, TuningConfig, InputConfig, MachineConfig, ReportConfig)
"""The records whose fields are the parameters of an estimator, in the order of its signature."""

Estimator = TypeVar("Estimator", bound=type)


def with_parameters(*, without: Collection[str] = ()) -> Callable[[Estimator], Estimator]:
    """Return a decorator that gives a class a parameter for each field of RECORDS but those in `without`."""
    fields = [field for record in RECORDS for field in dataclasses.fields(record) if field.name not in without]
    hints = {name: hint for record in RECORDS for name, hint in get_type_hints(record).items()}
    own = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)]
    hints |= {f.name: hints[f.name] | Literal["auto"] for f in fields if f.metadata["auto"]}
    own += [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=default_of(f), annotation=hints[f.name])
        for f in fields
    ]

    def decorate(cls: Estimator) -> Estimator:
        def __init__(self: Any, **settings: Any) -> None:
            # Kept as they are given, as scikit-learn asks; the records check them when the estimator is fitted.
            for field in fields:
                setattr(self, field.name, settings.pop(field.name, default_of(field)))
            if settings:
                raise TypeError(f"{type(self).__name__} has no parameter {next(iter(settings))!r}")

        # scikit-learn reads the names and the defaults of the parameters from here.
        __init__.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
        __init__.__module__, __init__.__qualname__ = cls.__module__, f"{cls.__qualname__}.__init__"
        cls.__init__ = __init__  # type: ignore[misc]
        words, mark, attributes = (cls.__doc__ or "").partition("    Attributes:\n")
        explained = "\n".join(map(_explained, fields))
        cls.__doc__ = f"{words.rstrip()}\n\n    Args:\n{explained}\n\n{mark}{attributes}"
        return cls

    return decorate


def default_of(field: "dataclasses.Field[Any]") -> Any:
    """Return the default of an estimator's parameter: what may be left to the data is."""
    return AUTO if field.metadata["auto"] else field.default


def _explained(field: "dataclasses.Field[Any]") -> str:
    """Return the lines of a docstring that explain one parameter."""
    limits = limits_text(field.metadata["limits"])
    # A default of None stands for what the help says after these words.
    words, _, meaning = field.metadata["help"].partition(" Default: ")
    meaning = f"{field.metadata['auto']}." if field.metadata["auto"] else meaning
    default = f"{default_of(field)!r}, that is, {meaning}" if meaning else f"{field.default!r}."
    return textwrap.fill(
        f"{field.name}: {words}{f' Must be {limits}.' if limits else ''} Default: {default}",
        116,
        initial_indent=" " * 8,
        subsequent_indent=" " * 12,
        break_on_hyphens=False,
    )
