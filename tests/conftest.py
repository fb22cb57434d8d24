"""What every test stands on: no network, few threads, a throw-away cache, checked types and shapes.

In: nothing. Out: an environment set before `hilbertune` is imported, and an import hook that has
beartype check the annotations of the package (array shapes included) on every call.
"""

import os
import sys
import tempfile
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "2")  # more than one, so that races can show
if "PYTEST_XDIST_WORKER" not in os.environ:  # workers inherit and share the folder
    _cache = tempfile.TemporaryDirectory(prefix="hilbertune-tests-")
    os.environ["HILBERTUNE_CACHE"] = _cache.name

# Before the hook, which would have Python compile anew whatever a hooked module imports first.
import jaxtyping
import numba  # noqa: F401
import pytest
import torch
from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintException
from hypothesis import settings

# Read when Triton is imported, which any use of torch.compile does: without a GPU its kernels are interpreted.
os.environ["TRITON_INTERPRET"] = str(int(not torch.cuda.is_available()))


class _Unchecked:
    """Loads the kernels as they are: Numba and Triton cannot compile a function that is wrapped in a check."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name in ("hilbertune.engine.kernels", "hilbertune.engine.gpu"):
            return PathFinder.find_spec(name, path, target)
        return None


_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as for mypy


def check(function: Any) -> Any:
    """The function with its annotations checked, or as it is if one (Self) is beyond beartype."""
    try:
        return _beartype(function)
    except BeartypeDecorHintException:
        return function


assert "hilbertune" not in sys.modules, "imported before its types could be checked"
jaxtyping.install_import_hook("hilbertune", f"{__name__}.check")
sys.meta_path.insert(0, _Unchecked)

# A run on a build machine can be repeated exactly; elsewhere every run tries new examples.
settings.register_profile(
    "hilbertune", deadline=None, print_blob=True, derandomize="CI" in os.environ
)
settings.load_profile("hilbertune")


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run-time checks: for tests that hand a function what its annotations forbid."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
