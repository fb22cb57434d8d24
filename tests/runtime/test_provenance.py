"""The environment of a result has versions, hardware and the commit; what cannot be found out is None."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch

import hilbertune
from hilbertune.runtime import provenance
from hilbertune.runtime.provenance import PACKAGES, environment


def test_the_environment_has_versions_hardware_and_no_guessed_energy() -> None:
    found = environment()
    assert set(found) == {
        "python",
        "packages",
        "system",
        "processor",
        "cores",
        "threads",
        "processes",
        "gpu",
        "git_commit",
        "energy_joules",
    }
    assert set(found["packages"]) == set(PACKAGES)
    assert found["packages"]["torch"] == torch.__version__
    assert found["cores"] == os.cpu_count()
    assert found["energy_joules"] is None
    json.dumps(found, allow_nan=False)


def test_what_cannot_be_found_out_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", absent)
    monkeypatch.setattr(provenance, "PACKAGES", ("no-such-package",))
    monkeypatch.setattr(Path, "read_text", absent)
    monkeypatch.setattr("platform.processor", lambda: "")
    found = environment()
    assert found["git_commit"] is None
    assert found["packages"] == {"no-such-package": None}
    assert found["processor"] is None


def test_an_installed_package_names_no_commit_of_the_folder_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "site-packages" / "hilbertune" / "runtime" / "provenance.py"
    monkeypatch.setattr(provenance, "__file__", str(file))
    assert environment()["git_commit"] is None


def test_a_checkout_names_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        identity = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "--quiet")
    file = tmp_path / "src" / "hilbertune" / "runtime" / "provenance.py"
    file.parent.mkdir(parents=True)
    file.write_text("")
    monkeypatch.setattr(provenance, "__file__", str(file))
    assert environment()["git_commit"] is None, "nothing was committed yet"
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    assert environment()["git_commit"] == git("rev-parse", "HEAD")


def test_the_package_in_a_checkout_is_found() -> None:
    """The commit is looked up from where the package lies, however deep this module is in it."""
    assert Path(provenance.__file__).parents[1] == Path(hilbertune.__file__).parent


def test_a_processor_without_a_name_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ())  # whose versions are read from files, too
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "processor : 0\n")
    monkeypatch.setattr("platform.processor", lambda: "")
    assert environment()["processor"] is None
