"""The studies that come with the package."""

from pathlib import Path

import pytest

from hilbertune.errors import HilbertuneError
from hilbertune.study.configuration import read_study, sizes_of
from hilbertune.study.shipped import find_study, shipped


@pytest.mark.parametrize("name", shipped())
def test_every_study_that_comes_with_the_package_can_be_read_in_every_size(name: str) -> None:
    file = find_study(name)
    sizes = sizes_of(file)
    assert sizes[0] == "full"
    assert "quick" in sizes
    for size in sizes:
        assert read_study(file, size=size).arms


def test_a_file_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_study("ablations") == shipped()["ablations"]
    (tmp_path / "ablations").write_text("title: mine")
    assert find_study("ablations") == Path("ablations")
    assert find_study("no-such.yaml") == Path("no-such.yaml")
    with pytest.raises(HilbertuneError, match="did you mean 'search'"):
        find_study("serch")
