"""Errors say what is wrong and what to do: missing extras, other libraries' errors, unknown names."""

from pathlib import Path

import pytest

from hilbertune.errors import HilbertuneError, MissingExtraError, first_line, nearest, require


def test_a_module_that_is_installed_is_returned() -> None:
    assert require("json", "plot").dumps([1]) == "[1]"


def test_a_module_that_is_missing_names_its_extra() -> None:
    with pytest.raises(MissingExtraError) as error:
        require("no_such_module", "plot")
    assert str(error.value) == "This needs the package 'no_such_module': run pip install 'hilbertune[plot]'."
    assert isinstance(error.value, HilbertuneError)
    assert isinstance(error.value, ImportError)


def test_a_package_that_a_module_needs_is_named_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_installed.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match=r"'no_such_dependency': run pip install 'hilbertune\[qpu\]'"):
        require("half_installed", "qpu")


def test_a_module_that_is_broken_keeps_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_module.py").write_text("from json import no_such_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="no_such_name") as error:
        require("broken_module", "qpu")
    assert not isinstance(error.value, HilbertuneError)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("wrong."), "wrong"),
        (ValueError("\n first line.\nsecond line"), "first line"),
        (ValueError(""), "ValueError"),
        (KeyError("name"), "'name'"),
    ],
)
def test_the_first_line_of_an_error_is_its_reason(error: Exception, line: str) -> None:
    assert first_line(error) == line


def test_an_unknown_name_gets_the_nearest_one_or_all() -> None:
    assert nearest("qbits", ["layers", "qubits"]) == "did you mean 'qubits'?"
    assert nearest("zzz", ["layers", "qubits"]) == "choose from layers, qubits."
