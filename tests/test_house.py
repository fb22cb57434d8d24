"""The house's own rules, which no linter knows: sizes, entrances, private names, what a first import costs."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest
import torch
from beartype.roar import BeartypeCallHintViolation

import hilbertune
from hilbertune.circuit import builders
from hilbertune.errors import HilbertuneError
from hilbertune.model import readout

SRC = Path(__file__).parents[1] / "src" / "hilbertune"
TESTS = Path(__file__).parent
PACKAGES = sorted(folder.name for folder in SRC.iterdir() if (folder / "__init__.py").exists())
MODULES = sorted(SRC.rglob("*.py"))

LONGEST_MODULE, LONGEST_FUNCTION, MOST_PARAMETERS, MOST_ENTRIES = 500, 60, 12, 20

FLAGS = ("cli/",)
"""Where a parameter of a function is a flag of a command, and the list of flags a table."""

KERNELS = ("engine/gpu.py",)
"""Where Triton takes the arguments of a kernel one by one."""


def name_of(file: Path) -> str:
    return file.relative_to(SRC).as_posix()


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_the_top_holds_few_entries() -> None:
    entries = [entry.name for entry in SRC.iterdir() if entry.name != "__pycache__"]
    assert len(entries) <= MOST_ENTRIES, sorted(entries)


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_module_is_of_a_size_that_can_be_read(file: Path) -> None:
    lines = file.read_text().count("\n")
    assert lines <= LONGEST_MODULE, f"{name_of(file)} has {lines} lines"
    for function in functions(file):
        own = function.args
        parameters = len(own.posonlyargs) + len(own.args) + len(own.kwonlyargs)
        parameters -= any(a.arg in ("self", "cls") for a in [*own.posonlyargs, *own.args][:1])
        # A command's flags are a table: what counts is its body.
        first = function.body[0].lineno if name_of(file).startswith(FLAGS) else function.lineno
        length = (function.end_lineno or 0) - first + 1
        assert length <= LONGEST_FUNCTION, f"{name_of(file)}: {function.name} has {length} lines"
        if not name_of(file).startswith((*FLAGS, *KERNELS)):
            assert parameters <= MOST_PARAMETERS, f"{name_of(file)}: {function.name} has {parameters} parameters"


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_module_says_what_it_is_what_goes_in_and_what_comes_out(file: Path) -> None:
    text = ast.get_docstring(ast.parse(file.read_text()))
    assert text, f"{name_of(file)} has no docstring"
    assert "FIXME" not in text
    if file.name != "__main__.py":
        assert re.search(r"^In: ", text, re.MULTILINE), name_of(file)
        assert re.search(r"\bOut: ", text), name_of(file)


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_no_module_takes_a_private_name_of_another(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hilbertune"):
            private = [a.name for a in node.names if a.name.startswith("_") and a.name != "__version__"]
            assert not private, f"{name_of(file)} takes {private} from {node.module}"
            modules = {
                a.asname or a.name
                for a in node.names
                if (SRC.parent / (node.module or "").replace(".", "/") / f"{a.name}.py").exists()
            }
            for use in ast.walk(ast.parse(file.read_text())):
                if isinstance(use, ast.Attribute) and isinstance(use.value, ast.Name) and use.value.id in modules:
                    assert not re.match(r"_[^_]", use.attr), f"{name_of(file)} takes {use.value.id}.{use.attr}"


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_there_are_no_banners(file: Path) -> None:
    assert not re.search(r"^\s*#.*-{10,}$", file.read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_of_a_package_is_there_and_no_module(name: str) -> None:
    package = importlib.import_module(f"hilbertune.{name}")
    assert package.__all__
    for public in package.__all__:
        assert type(getattr(package, public)).__name__ != "module", f"hilbertune.{name}.{public}"


def test_type_checkers_see_the_names_that_python_sees() -> None:
    tree = ast.parse((SRC / "__init__.py").read_text())
    (block,) = (n for n in tree.body if isinstance(n, ast.If))
    seen = {a.asname for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert seen == set(hilbertune.__all__)


def loaded(code: str) -> set[str]:
    """Return the modules that a fresh interpreter holds after it has run the code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import hilbertune", "numpy torch numba sklearn scipy"),
        ("import hilbertune.config", "numpy torch numba sklearn scipy"),
        ("import hilbertune.study.plan", "torch numba llvmlite transformers"),
        ("import hilbertune.study.configuration", "torch numba llvmlite transformers"),
        ("import hilbertune.report.page", "torch numba llvmlite transformers"),
        (
            "import hilbertune.data.files, hilbertune.embedding.embedder, hilbertune.baselines",
            "torch numba transformers",
        ),
        ("from hilbertune import HybridClassifier", "torch numba llvmlite transformers matplotlib"),
    ],
)
def test_what_is_not_needed_yet_is_not_loaded(code: str, absent: str) -> None:
    assert not loaded(code) & set(absent.split())


@pytest.mark.parametrize("file", sorted(TESTS.rglob("test_*.py")), ids=lambda f: f.relative_to(TESTS).as_posix())
def test_no_test_module_imports_another_and_each_stands_where_its_package_is(file: Path) -> None:
    assert not re.search(r"^\s*(from|import) (\w+\.)*test_\w+", file.read_text(), re.MULTILINE)
    assert file.parent == TESTS or file.parent.name in PACKAGES


def test_annotations_are_checked_while_the_tests_run_with_shapes_and_without() -> None:
    with pytest.raises(BeartypeCallHintViolation):
        builders.head("2")  # type: ignore[arg-type]
    with pytest.raises(jaxtyping.TypeCheckError):
        readout.in_double(torch.ones(1, 2, 3), torch.ones(1, 3))


@pytest.mark.usefixtures("unchecked")
def test_a_test_may_switch_the_checks_off() -> None:
    with pytest.raises(HilbertuneError):
        builders.head("2")  # type: ignore[arg-type]
