import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def python(code: str, cwd: Path = ROOT / "src") -> str:
    """Return what a fresh interpreter prints; it finds hilbertune in the folder `cwd` first."""
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_public_name_is_there():
    missing = "[name for name in hilbertune.__all__ if not hasattr(hilbertune, name)]"
    assert python(f"import hilbertune; print({missing}, len(hilbertune.__all__) > 10)") == "[] True"


def test_every_extra_that_a_message_names_exists():
    sources = "\n".join(file.read_text() for file in (ROOT / "src").rglob("*.py"))
    named = set(re.findall(r"""\brequire\(\s*["'][\w.]+["'],\s*["'](\w+)["']""", sources))
    named |= set(re.findall(r"hilbertune\[(\w+)\]", sources))
    assert named
    assert named <= PROJECT["optional-dependencies"].keys()


def test_torch_has_no_upper_bound():
    (torch,) = [line for line in PROJECT["dependencies"] if line.startswith("torch")]
    assert re.fullmatch(r"torch>=[\d.]+", torch)


def test_citation_and_changelog_name_the_version():
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited is not None
    assert cited[1] == PROJECT["version"]
    newest = re.search(r"^## \[?(\d[\w.]*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == PROJECT["version"]


def test_installed_version_is_that_of_pyproject():
    try:
        installed = version("hilbertune")
    except PackageNotFoundError:
        pytest.skip("hilbertune is not installed here")
    assert installed == PROJECT["version"]


def test_wheel_works_outside_the_repository(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT]
    subprocess.run(build, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    (wheel,) = tmp_path.glob("hilbertune-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "hilbertune/py.typed" in names
    assert all(name.startswith(("hilbertune/", "hilbertune-")) for name in names)
    assert not [name for name in names if "__pycache__" in name]
    studies = {file.name for file in (ROOT / "studies").glob("*.yaml")}
    assert studies
    assert {Path(name).name for name in names if name.startswith("hilbertune/studies/")} == studies

    target = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", target, wheel]
    subprocess.run(install, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    code = "import hilbertune; from hilbertune import ansatz; print(hilbertune.__file__)"
    assert Path(python(code, cwd=target)).is_relative_to(target)
    code = "from hilbertune.study.shipped import find_study; print(find_study('ablations'))"
    assert python(code, cwd=target) == str(target / "hilbertune/studies/ablations.yaml")
    console = (target / f"hilbertune-{PROJECT['version']}.dist-info/entry_points.txt").read_text()
    assert "hilbertune = hilbertune.cli:main" in console
