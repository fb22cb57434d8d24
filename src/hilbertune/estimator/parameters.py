"""The parameters of the estimators, read off the declarations of `config`.

In: an estimator class and the names that it leaves out.
Out: the class with a constructor, a signature that scikit-learn reads, and a docstring that shows the real defaults.
"""

import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Collection
from typing import Any, TypeVar, get_type_hints

from hilbertune.config.fields import limits_text
from hilbertune.config.records import HeadConfig, InputConfig, MachineConfig, TrainingConfig, TuningConfig

RECORDS = (HeadConfig, TrainingConfig, TuningConfig, InputConfig, MachineConfig)
"""The records whose fields are the parameters of an estimator, in the order of its signature."""


Estimator = TypeVar("Estimator", bound=type)


def with_parameters(*, without: Collection[str] = ()) -> Callable[[Estimator], Estimator]:
    """Give a class a keyword-only parameter for each field of RECORDS but those in `without`."""
    fields = [
        (record, field) for record in RECORDS for field in dataclasses.fields(record) if field.name not in without
    ]

    def decorate(cls: Estimator) -> Estimator:
        def __init__(self: Any, **settings: Any) -> None:
            for _, field in fields:
                setattr(self, field.name, settings.pop(field.name, field.default))
            if settings:
                raise TypeError(f"{cls.__name__} has no parameter {next(iter(settings))!r}")

        own = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)]
        for record, field in fields:
            hint = get_type_hints(record)[field.name]
            own.append(
                inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hint)
            )
        # scikit-learn reads the names and the defaults of the parameters from here.
        __init__.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
        cls.__init__ = __init__  # type: ignore[misc]
        text = "\n".join(_described(field) for _, field in fields)
        head, mark, attributes = (cls.__doc__ or "").partition("    Attributes:\n")
        cls.__doc__ = f"{head}    Args:\n{text}\n\n{mark}{attributes}"
        return cls

    return decorate


def _described(field: "dataclasses.Field[Any]") -> str:
    """Return the line of a docstring that explains one parameter."""
    limits = limits_text(field.metadata["limits"])
    words = (
        f"{field.name}: {field.metadata['help']}{f' Must be {limits}.' if limits else ''} Default: {field.default!r}."
    )
    return textwrap.fill(words, 116, initial_indent=" " * 8, subsequent_indent=" " * 12, break_on_hyphens=False)
