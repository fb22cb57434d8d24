"""Model directories are judged without torch."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hilbertune.errors import HilbertuneError
from hilbertune.estimator.files import FORMAT, folder_of, read_config

CONFIG: dict[str, Any] = {
    "format": FORMAT,
    "head": {},
    "features": 5,
    "classes": ["a", "b"],
    "embedding": {"model": "some/model", "fingerprint": "abc"},
}


def written(folder: Path, **changes: Any) -> Path:
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    return folder


def test_a_directory_is_judged_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from hilbertune.estimator.files import read_config\n"
        "assert read_config(Path(sys.argv[1]))['features'] == 5\n"
        "assert not {'torch', 'numpy', 'sklearn'} & set(sys.modules), sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(written(tmp_path))], check=True)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"format": 1},
        {"classes": []},
        {"classes": [0, 1, 2]},
        {"classes": [False, True]},
        {"embedding": None},
        {"results": {}},
    ],
)
def test_a_whole_config_is_read(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert read_config(written(tmp_path, **changes)) == CONFIG | changes


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("features", [0, -1, 2.0, "5", True, None]),
        ("classes", [None, "ab", [1, "a"], ["a", "a"], [1, True], [[1], [2]], [None, None], {"a": 1}]),
        ("embedding", ["model", [], {}, {"model": "x"}, {"model": 1, "fingerprint": "y"}]),
    ],
)
def test_an_unusable_entry_is_named(tmp_path: Path, name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(HilbertuneError, match=f"has no usable '{name}': copy the model again"):
            read_config(written(tmp_path, **{name: value}))


def test_the_first_unusable_entry_is_named(tmp_path: Path) -> None:
    with pytest.raises(HilbertuneError, match="no usable 'features'"):
        read_config(written(tmp_path, features=None, classes=None, embedding=3))


@pytest.mark.parametrize("name", ["./some/model", "../model", "/some/model", "model"])
def test_a_path_is_never_looked_up_on_the_hub(name: str) -> None:
    assert folder_of(name) == Path(name)
