"""Claims: one owner at a time, let go with its process, and what nobody can go on with is swept."""

import gc
import os
import signal
import time
from pathlib import Path

from hilbertune.runtime.claims import KEPT_DAYS, claim_folder, claimed, owned_folder, sweep


def names(folder: Path) -> list[str]:
    return sorted(path.name.partition(".")[0] for path in folder.iterdir())


def test_a_file_or_folder_has_one_owner_until_it_is_let_go(tmp_path: Path) -> None:
    for path in (tmp_path / "folder", tmp_path / "file"):
        path.mkdir() if path.name == "folder" else path.touch()
        first = claimed(path)
        assert first is not None
        assert claimed(path) is None
        first.release()
        again = claimed(path)
        assert again is not None
        del again
        gc.collect()
        assert claimed(path) is not None
    assert claimed(tmp_path / "none") is None


def test_work_of_one_name_goes_on_where_it_was_left_or_in_a_folder_of_its_own(tmp_path: Path) -> None:
    first, second = claim_folder(tmp_path, "work"), claim_folder(tmp_path, "work")
    assert first.path == tmp_path / "work"
    assert second.path != first.path
    first.release()
    third = claim_folder(tmp_path, "work")
    assert third.path == first.path
    third.remove()
    second.release()
    assert claim_folder(tmp_path, "work").path == second.path


def test_a_claim_to_what_was_removed_or_replaced_meanwhile_is_none(tmp_path: Path) -> None:
    first = claim_folder(tmp_path, "work")
    first.remove()
    assert names(tmp_path) == []
    (tmp_path / "work").mkdir()
    first.remove()
    assert names(tmp_path) == ["work"]


def test_folders_of_the_dead_are_swept_and_those_of_the_living_stay(tmp_path: Path) -> None:
    living, stage = owned_folder(tmp_path), claim_folder(tmp_path, "stage")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        owned_folder(tmp_path)
        kept = [owned_folder(tmp_path), claim_folder(tmp_path, "left"), claim_folder(tmp_path, "old")]
        os.write(writer, str(len(kept)).encode())
        signal.pause()
    assert os.read(reader, 1) == b"3"
    sweep(tmp_path)
    assert names(tmp_path) == ["left", "old", "owned", "owned", "stage"]
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    long_ago = time.time() - (KEPT_DAYS + 1) * 24 * 3600
    for path in (tmp_path / "old", stage.path):
        os.utime(path, (long_ago, long_ago))
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["left", living.path.name, "stage"])


def test_a_process_that_was_forked_off_removes_nothing(tmp_path: Path) -> None:
    claim = owned_folder(tmp_path)
    child = os.fork()
    if not child:
        claim.remove()
        os._exit(0)
    os.waitpid(child, 0)
    assert claim.path.is_dir()
    claim.remove()
    assert not claim.path.exists()
