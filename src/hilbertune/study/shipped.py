"""The studies that come with the package, by name.

In: a name such as `ablations`.
Out: the YAML file, from the wheel or from the repository.
"""

from pathlib import Path

from hilbertune.errors import HilbertuneError, nearest

IN_WHEEL, IN_REPOSITORY = Path(__file__).parents[1] / "studies", Path(__file__).parents[3] / "studies"


def shipped() -> dict[str, Path]:
    """Return the files of the studies that come with the package, by their names."""
    folder = IN_WHEEL if IN_WHEEL.is_dir() else IN_REPOSITORY
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def find_study(name: str) -> Path:
    """Return the file of a study: a path, or the name of one that comes with the package; a file wins.

    Raises:
        HilbertuneError: it is neither.
    """
    path = Path(name)
    if path.exists() or path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        return path
    known = shipped()
    if name not in known:
        raise HilbertuneError(
            f"There is no file {path}, and no study of that name comes with the package: {nearest(name, list(known))}"
        )
    return known[name]
