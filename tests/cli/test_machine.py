"""The doctor tells what a machine lacks to do the job."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from hilbertune.cli import machine
from hilbertune.cli.machine import examine


def one(name: str) -> dict[str, Any]:
    return next(check for check in examine() if check["name"] == name)


def test_everything_that_is_needed_is_well_here() -> None:
    checks = examine()
    names = ["versions", "machine", "engines agree", "cache", "embedded model"]
    assert [c["name"] for c in checks] == [*names, *(f"extra {e}" for e in machine.EXTRAS)]
    assert {c["name"] for c in checks if c["needed"]} == set(names[:3])
    assert all(c["ok"] for c in checks if c["needed"])
    json.dumps(checks)


def test_the_extras_are_those_of_the_project() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    declared = set(project["project"]["optional-dependencies"]) - {"bench", "docs", "dev"}
    assert set(machine.EXTRAS) == declared


def test_an_extra_that_is_missing_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(machine.EXTRAS, "plot", ("matplotlib", "no_such_module"))
    assert one("extra plot") == {
        "name": "extra plot",
        "ok": False,
        "needed": False,
        "detail": "no_such_module not installed: pip install 'hilbertune[plot]'",
    }


def test_an_engine_that_differs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from hilbertune.engine import expectations as engine_module

    right = engine_module.expectation

    def wrong(*arguments: Any, engine: str, **options: Any) -> torch.Tensor:
        values = right(*arguments, engine=engine, **options)
        return values + 1e-3 if engine == "cpu" else values

    monkeypatch.setattr(engine_module, "expectation", wrong)
    check = one("engines agree")
    assert not check["ok"]
    assert "differs from the reference" in check["detail"]
    assert "torch.float64" in check["detail"]


def test_an_engine_that_gives_nan_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from hilbertune.engine import expectations as engine_module

    right = engine_module.expectation

    def wrong(*arguments: Any, engine: str, **options: Any) -> torch.Tensor:
        values = right(*arguments, engine=engine, **options)
        return values * float("nan") if engine == "cpu" else values

    monkeypatch.setattr(engine_module, "expectation", wrong)
    assert not one("engines agree")["ok"]


def test_a_cache_that_cannot_be_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HILBERTUNE_CACHE", str(tmp_path / "file"))
    assert not one("cache")["ok"]
    monkeypatch.setenv("HILBERTUNE_CACHE", str(tmp_path / "folder"))
    check = one("cache")
    assert check["ok"]
    assert check["detail"].startswith(f"{tmp_path}/folder can be written")
    assert list((tmp_path / "folder").iterdir()) == []
