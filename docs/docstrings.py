"""Docstrings and signatures that the package makes when it is imported, for the reference of Python.

In: the classes whose parameters come from the declarations of the settings.
Out: their docstrings and parameters; everything else is read from the source, with defaults as they are written there.
"""

import importlib
import inspect
from typing import Any

import griffe

MADE = (
    "hilbertune.config.noise.Noise",
    "hilbertune.estimator.classifier.HybridClassifier",
    "hilbertune.estimator.regressor.HybridRegressor",
)
"""Classes whose parameters are declared elsewhere."""


class MadeDocstrings(griffe.Extension):
    """Gives such a class the docstring and the parameters that it has when it is imported."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Replace the docstring of a class, and add its constructor."""
        if cls.path not in MADE:
            return
        made = getattr(importlib.import_module(cls.module.path), cls.name)
        cls.docstring = griffe.Docstring(inspect.getdoc(made) or "", parent=cls, parser="google")
        parameters = [
            griffe.Parameter(
                own.name, annotation=words(own.annotation), kind=KINDS[own.kind], default=repr(own.default)
            )
            for own in inspect.signature(made).parameters.values()
        ]
        cls.set_member("__init__", griffe.Function("__init__", parameters=griffe.Parameters(*parameters)))


KINDS = {
    inspect.Parameter.POSITIONAL_OR_KEYWORD: griffe.ParameterKind.positional_or_keyword,
    inspect.Parameter.KEYWORD_ONLY: griffe.ParameterKind.keyword_only,
}


def words(annotation: Any) -> str:
    """Return a type as one writes it."""
    return inspect.formatannotation(annotation).replace("typing.", "")
