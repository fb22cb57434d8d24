"""Places are tried as they will be used, before the work; what cannot be saved there after it is kept elsewhere."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import hilbertune
from hilbertune.errors import HilbertuneError
from hilbertune.runtime import destinations
from hilbertune.runtime.destinations import kept, try_file, try_folder, try_new_folder
from hilbertune.runtime.storage import CannotWriteError, destination, new_directory

Try = Callable[[Path], None]


def try_new_file(path: Path) -> None:
    try_file(path, new=True)


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to an empty folder beside a full one, a file, an empty folder, links and a pipe."""
    (tmp_path / "full" / "inner").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("old")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "to-empty").symlink_to("empty")
    (tmp_path / "to-full").symlink_to("full")
    (tmp_path / "dangling").symlink_to("later/model")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "now").mkdir()
    monkeypatch.chdir(tmp_path / "now")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


NOWHERE = [
    "",
    ".",
    "..",
    "/",
    "a\0b",
    "x" * 300,
    "\ud800",
    "../file/below",
    "/dev/null/below",
    "/proc/model",
    "../loop",
]
TAKEN = ["../file", "../fifo", "/dev/null", "/dev/stdout", "../full", "../to-full", "~/file"]


@pytest.mark.parametrize("name", NOWHERE)
@pytest.mark.parametrize("attempt", [try_new_folder, try_new_file, try_file])
def test_a_place_where_nothing_can_be_is_refused_in_a_sentence(here: Path, name: str, attempt: Try) -> None:
    before = everything(here)
    with pytest.raises(CannotWriteError):
        attempt(Path(name))
    assert everything(here) == before


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("attempt", [try_new_folder, try_new_file])
def test_a_place_that_is_taken_is_refused(here: Path, name: str, attempt: Try) -> None:
    before = everything(here)
    with pytest.raises(CannotWriteError):
        attempt(Path(name))
    assert everything(here) == before


@pytest.mark.parametrize("name", ["model", "sub/model/", "../empty", "../to-empty", "../dangling", "~/model"])
def test_a_folder_that_can_be_made_is_made_and_gone_again(here: Path, name: str) -> None:
    before = everything(here)
    try_new_folder(Path(name))
    assert everything(here) == before
    with new_directory(Path(name)) as folder:
        (folder / "file").write_text("")
    assert (Path(os.path.expanduser(name)) / "file").exists()
    assert os.path.islink(Path(name)) == (name in ("../to-empty", "../dangling"))


@pytest.mark.parametrize("name", ["new.png", "sub/new.png", "../file", "../dangling"])
def test_a_file_that_can_be_made_or_replaced_is_left_as_it_is(here: Path, name: str) -> None:
    before = everything(here)
    try_file(Path(name))
    assert everything(here) == before
    assert (here / "file").read_text() == "old"


@pytest.mark.parametrize("name", ["../empty", "../fifo", "/dev/null"])
def test_what_is_no_file_is_not_replaced_by_one(here: Path, name: str) -> None:
    for attempt in (try_file, try_new_file):
        with pytest.raises(CannotWriteError):
            attempt(Path(name))


def test_a_folder_that_is_gone_on_with_must_be_one(here: Path) -> None:
    for name in ("../full", ".", "new", "../to-empty"):
        try_folder(Path(name))
    for name in ("../file", "../dangling/../../file", "/proc/x", "x" * 300):
        with pytest.raises(CannotWriteError):
            try_folder(Path(name))


def test_a_current_folder_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(CannotWriteError, match="Cannot write model"):
        try_new_folder(Path("model"))


MOUNTED = """
import sys
from pathlib import Path
from hilbertune.errors import HilbertuneError
from hilbertune.runtime.destinations import try_file, try_new_folder
for attempt, name in ((try_new_folder, "volume"), (try_file, "picture.png"), (try_new_folder, "volume/model")):
    try:
        attempt(Path(name))
        print("fine")
    except HilbertuneError as error:
        print(error)
"""


def test_mounted_volumes_and_files_are_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    for name in ("picture.png", "other.png"):
        (tmp_path / name).write_text("")
    mount = 'mount -t tmpfs none volume && mount --bind other.png picture.png && exec "$@"'
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rm", "true"], capture_output=True).returncode:
        pytest.skip("no mounts may be made here")
    source = str(Path(hilbertune.__file__).parents[1])
    done = subprocess.run(
        [unshare, "-rm", "sh", "-c", mount, "sh", sys.executable, "-c", MOUNTED],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=True,
    )
    volume, picture, below = done.stdout.splitlines()
    assert volume == "Cannot write volume: Device or resource busy; name a new folder in it, such as volume/model."
    assert picture == "Cannot write picture.png: it is not a file that can be replaced; name another."
    assert below == "fine"


def test_what_cannot_be_saved_is_kept_beside(here: Path) -> None:
    def write(place: Path) -> str:
        with new_directory(place) as folder:
            (folder / "weights").write_text("1")
        return place.name

    assert kept(write, Path("model")) == ("model", None)
    # Taken while the work was done.
    name, error = kept(write, Path("model"))
    assert name == "model-2"
    assert str(error) == (
        "model already exists: name another place or remove it first. "
        f"The result is in {here / 'now' / 'model-2'} instead."
    )
    assert (here / "now" / "model-2" / "weights").read_text() == "1"


def test_where_nothing_can_be_written_beside_another_folder_is_taken(here: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(place: Path) -> Path:
        if here / "full" in place.parents:
            raise CannotWriteError(f"Cannot write {place}: {full.strerror}.")
        place.write_text("1")
        return place

    place, error = kept(write, here / "full" / "p.png")
    assert place == here / "now" / "p-2.png"
    assert "No space left on device. The result is in" in str(error)


def test_if_nothing_can_be_written_anywhere_the_first_reason_is_told(here: Path) -> None:
    def write(place: Path) -> None:
        raise CannotWriteError(f"Cannot write {place}: no.")

    with pytest.raises(CannotWriteError, match=r"^Cannot write model: no\.$"):
        kept(write, Path("model"))


def test_a_destination_follows_links_and_the_home(here: Path) -> None:
    assert destination(Path("../to-empty")) == here / "empty"
    assert destination(Path("../dangling")) == here / "later" / "model"
    assert destination(Path("~/x")) == here / "x"
    with pytest.raises(HilbertuneError, match="it is the current folder"):
        destination(here / "now")
    assert destinations._mounts() >= {"/proc"}
