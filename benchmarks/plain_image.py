"""Let benchmarks run from a checkout in a plain CUDA image: nothing of the project installed, nothing to download.

In: an interpreter with torch, triton, numba, numpy, scipy, scikit-learn and safetensors.
Out: `hilbertune` and the helpers of its tests can be imported. Two packages that `hilbertune` needs and such an image
lacks have stand-ins: jaxtyping, whose annotations are for readers and for the tests, and lazy_loader.
"""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NEEDED = {name: name for name in ("torch", "triton", "numba", "numpy", "scipy", "safetensors")} | {
    "sklearn": "scikit-learn"
}
JAXTYPING = ("Bool", "Complex", "Float", "Float32", "Float64", "Inexact", "Int", "Int64", "Num", "Shaped")


class _Shaped:
    """Stands for each of jaxtyping's types: `Float[Tensor, "rows"]` is Tensor."""

    def __class_getitem__(cls, of: tuple[Any, str]) -> Any:
        return of[0]


def _jaxtyping() -> ModuleType:
    made = ModuleType("jaxtyping")
    for name in JAXTYPING:
        setattr(made, name, _Shaped)
    return made


def _attach(package: str, submod_attrs: Mapping[str, Sequence[str]]) -> tuple[Callable[..., Any], Any, list[str]]:
    """Return a package's __getattr__, __dir__ and __all__, which import each name from its module at its first use."""
    homes = {name: f"{package}.{module}" for module, names in submod_attrs.items() for name in names}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return get, lambda: sorted(homes), sorted(homes)


def _lazy_loader() -> ModuleType:
    made = ModuleType("lazy_loader")
    made.attach = _attach  # type: ignore[attr-defined]
    return made


STAND_INS = {"jaxtyping": _jaxtyping, "lazy_loader": _lazy_loader}


def _lacks(name: str) -> bool:
    return sys.modules.get(name) is None and find_spec(name) is None


def provide(needed: Sequence[str] = tuple(NEEDED)) -> list[str]:
    """Make `hilbertune` importable and return the packages that have stand-ins.

    Raises:
        SystemExit: Python is too old, or one of the needed packages is not here.
    """
    if sys.version_info < (3, 11):  # noqa: UP036 - an image may bring an older one
        raise SystemExit(f"This needs Python 3.11 or newer, not {sys.version.split()[0]}: name one, PYTHON=python3.12.")
    missing = [NEEDED[name] for name in needed if _lacks(name)]
    if missing:
        raise SystemExit(f"This needs packages that are not here: run pip install {' '.join(missing)}.")
    stood_in = [name for name in STAND_INS if _lacks(name)]
    for name in stood_in:
        sys.modules[name] = STAND_INS[name]()
    if _lacks("hilbertune"):
        sys.path.insert(0, str(ROOT / "src"))
    sys.path.insert(1, str(ROOT / "tests"))
    return stood_in
