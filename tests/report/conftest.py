"""The reports of all cases, each made when a test first asks for it."""

import json
from pathlib import Path

import pytest
from helpers.study_results import CASES

from hilbertune.report.page import write_report


class Reports(dict[str, Path]):
    """The folders of the reports by case."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def __missing__(self, case: str) -> Path:
        folder = self.root / case
        folder.mkdir()
        (folder / "results.json").write_text(json.dumps(CASES[case]()))
        assert write_report(folder) == folder / "report.html"
        self[case] = folder
        return folder


@pytest.fixture(scope="package")
def made(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    return Reports(tmp_path_factory.mktemp("reports"))
