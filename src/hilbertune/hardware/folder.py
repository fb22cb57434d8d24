"""The part of a run directory that says what the run is, checked field by field, readable without torch.

In: a folder.
Out: what its run.json says, or one sentence that names the file and the field that cannot be used.
"""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args

from hilbertune.config.fields import Checked
from hilbertune.config.records import HeadConfig, Task
from hilbertune.errors import HilbertuneError
from hilbertune.hardware.ledger import Ledger
from hilbertune.hardware.options import Options
from hilbertune.model.outputs import outputs

FORMAT, FORMAT_OF_MEMBERS = 1, 2
"""Versions of the layout of a run directory: a single head's, and an ensemble's, whose arrays begin with its heads."""

_LARGEST_FILE = 1 << 26
_MOST_MEMBERS = 100_000

_Record = TypeVar("_Record", bound=Checked)


@dataclass(frozen=True)
class Description:
    """What run.json says of a run.

    `run` is the name of its ledger, None for runs of older versions. `rows` are the numbers, from 1, that its rows have
    in their file; None where they are the first ones.
    """

    options: Options
    head: HeadConfig
    task: Task
    classes: list[Any]
    members: int
    run: str | None
    rows: list[int] | None = None

    @property
    def outputs(self) -> int:
        """The number of logits."""
        return outputs(self.task, len(self.classes))


def read_about(folder: Path) -> dict[str, Any]:
    """Return the content of run.json, of which only the format and the number of members are checked.

    Raises:
        HilbertuneError: there is no such file, or it is broken or of another format.
    """
    path = folder / "run.json"
    try:
        if not path.is_file():
            raise not_a_run(folder)
        if path.stat().st_size > _LARGEST_FILE:
            raise _bad(path, "it is larger than any run.json")
        about = json.loads(path.read_bytes(), parse_constant=_no_number)
    except HilbertuneError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise not_a_run(folder) from error
    if not isinstance(about, dict) or type(about.get("format")) is not int:
        raise not_a_run(folder)
    if about["format"] not in (FORMAT, FORMAT_OF_MEMBERS):
        raise HilbertuneError(
            f"{folder} has the format {str(about['format'])[:20]}, but this version reads {FORMAT} and "
            f"{FORMAT_OF_MEMBERS}: upgrade hilbertune."
        )
    members, single = about.get("members", 1), about["format"] == FORMAT
    if type(members) is not int or not (members == 1 if single else 1 <= members <= _MOST_MEMBERS):
        raise _bad(path, f"members is {_shown(members)}")
    return about


def read_description(folder: Path) -> Description:
    """Return what run.json says, every field checked, and the ledger found to be that of the run.

    Raises:
        HilbertuneError: it is not a run directory, a field cannot be used, or the ledger is missing, damaged or of
            another run.
    """
    path, about = folder / "run.json", read_about(folder)
    for name, kind in (("options", dict), ("head", dict), ("task", str), ("classes", list)):
        if not isinstance(about.get(name), kind):
            raise _bad(path, f"{name} is {_shown(about.get(name))}" if name in about else f"it has no {name!r}")
    if about["task"] not in get_args(Task):
        raise _bad(path, f"task is {_shown(about['task'])}")
    if not _are_labels(about["classes"]):
        raise _bad(path, "classes are not different labels of one type")
    run = about.get("run")
    if run is not None and not (isinstance(run, str) and re.fullmatch("[0-9a-f]{1,64}", run)):
        raise _bad(path, f"run is {_shown(run)}")
    rows = about.get("rows")
    if rows is not None and not _are_numbers(rows):
        raise _bad(path, "rows are not different numbers of rows")
    try:
        # Older runs had no checking circuit.
        options = _record(Options, {"check_circuit": False, **about["options"]})
        head = _record(HeadConfig, about["head"])
        outputs(about["task"], len(about["classes"]))
    except (HilbertuneError, TypeError, ValueError, OverflowError) as error:
        raise _bad(path, str(error)[:600]) from error
    if head.head != "quantum":
        raise _bad(path, f"its head is {head.head!r}")
    _check_ledger(folder, run)
    return Description(options, head, about["task"], about["classes"], about.get("members", 1), run, rows)


def _record(kind: type[_Record], values: dict[str, Any]) -> _Record:
    """Return a record of settings by name, whose types are checked before it is made."""
    kind.check_values({name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
    return kind.from_dict(values)


def _check_ledger(folder: Path, run: str | None) -> None:
    """Raise HilbertuneError unless the ledger is that of the run; runs of older versions may have none yet."""
    path = folder / "ledger.sqlite"
    if run is None and not path.exists():
        return
    ledger = Ledger(path, new=False)
    try:
        if run is not None and ledger.run != run:
            raise HilbertuneError(
                f"{path} is the ledger of another run than {folder / 'run.json'}: put the right file back."
            )
    finally:
        ledger.close()


def members_of(folder: Path) -> int:
    """Return how many heads a run measures for each row; a ledger without a run.json does not say, which counts as 1.

    Raises:
        HilbertuneError: its run.json is broken or of another format.
    """
    return int(read_about(folder).get("members", 1)) if (folder / "run.json").exists() else 1


def not_a_run(folder: Path) -> HilbertuneError:
    """Return the error about a folder that is not a complete run directory."""
    return HilbertuneError(f"{folder} is not a complete run directory: name one that 'hilbertune qpu run' has written.")


def _bad(path: Path, why: str) -> HilbertuneError:
    return HilbertuneError(f"{path} cannot be used ({' '.join(why.split()).rstrip('.')}): restore it from a copy.")


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _are_numbers(rows: Any) -> bool:
    return isinstance(rows, list) and all(type(n) is int and n > 0 for n in rows) and len(set(rows)) == len(rows) > 0


def _are_labels(classes: list[Any]) -> bool:
    kinds = {type(label) for label in classes}
    if len(kinds) > 1 or not kinds <= {bool, int, float, str}:
        return False
    return len(set(classes)) == len(classes) and all(not isinstance(c, float) or math.isfinite(c) for c in classes)
