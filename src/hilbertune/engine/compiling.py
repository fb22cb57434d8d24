"""The decorator that compiles the CPU's kernels (Numba), whose machine code is kept on disk where there is room for it.

In: a function. Out: a kernel. Numba keeps the code beside the package or in the user's cache; where neither can be
written, a private folder in the temporary directory keeps it, and where there is none each process compiles anew.
"""

import os
from typing import Any

import numba
from numba import njit
from numba.core.caching import FunctionCache

from hilbertune.errors import warn_once
from hilbertune.runtime.storage import private_folder


def compiled(function: Any) -> Any:
    """Make a kernel of a function."""
    kernel = njit(nogil=True, boundscheck=False, error_model="numpy")(function)
    if (cache := _cache_of(function)) is not None:
        kernel._cache = cache  # as kernel.enable_caching() does, with a cache that forgives a full disk
    return kernel


class _Cache(FunctionCache):
    """A cache that a full disk or a folder taken away does not make an error of."""

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            warn_once(f"Compiled kernels cannot be kept ({error.strerror or error}): each process compiles them anew.")


def _cache_of(function: Any) -> _Cache | None:
    """Return a place for the machine code of a function; None if there is none."""
    named = numba.config.CACHE_DIR
    beside = os.path.dirname(function.__code__.co_filename)
    # Without a home Numba would make a folder called "~".
    homeless = not os.path.isabs(os.path.expanduser("~"))
    try:
        if named or not homeless or os.access(beside, os.W_OK):
            return _Cache(function)
    except RuntimeError:  # Numba finds no folder that it may write to
        pass
    if (private := private_folder()) is None:
        return None
    numba.config.CACHE_DIR = str(private / "numba")
    try:
        return _Cache(function)
    except RuntimeError:
        return None
    finally:
        numba.config.CACHE_DIR = named
