"""Kernels are compiled wherever their machine code can be kept, and where it cannot."""

import os
from pathlib import Path
from typing import Any

import numba
import pytest
from numba.core.caching import FunctionCache

from hilbertune.engine import compiling


def double(x: int) -> int:
    return 2 * x


class Fussy(compiling._Cache):
    """A cache that finds no place but the private one, as where package and home cannot be written."""

    def __init__(self, function: Any) -> None:
        if not numba.config.CACHE_DIR:
            raise RuntimeError("cannot cache function: no locator available")
        super().__init__(function)


@pytest.mark.parametrize("home", [None, "~"])
def test_without_a_place_the_private_folder_keeps_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    monkeypatch.setattr(compiling, "private_folder", lambda: tmp_path)
    if home is None:
        monkeypatch.setattr(compiling, "_Cache", Fussy)
    else:
        monkeypatch.setenv("HOME", home)
        monkeypatch.setattr(os, "access", lambda *_: False)
    before = numba.config.CACHE_DIR
    cache = compiling._cache_of(double)
    assert cache is not None
    assert Path(cache.cache_path).is_relative_to(tmp_path / "numba")
    assert before == numba.config.CACHE_DIR


def test_without_any_place_each_process_compiles_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "private_folder", lambda: None)
    monkeypatch.setattr(compiling, "_Cache", Fussy)
    assert compiling._cache_of(double) is None
    assert compiling.compiled(double)(21) == 42


def test_a_full_disk_is_told_and_stops_no_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(FunctionCache, "save_overload", full)
    assert compiling.compiled(double)(21) == 42
    assert "Compiled kernels cannot be kept (No space left on device)" in caplog.text
