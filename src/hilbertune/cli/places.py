"""Files and folders that are named on the command line, checked before anything slow is imported.

In: paths.
Out: what a model's config.json says; an error where the work could not start, or its result not be written.
"""

import os
from pathlib import Path
from typing import Any

from hilbertune.config.records import Task, TrainingConfig
from hilbertune.errors import HilbertuneError


def check_place(out: Path) -> None:
    """Raise HilbertuneError if something exists at `out`, or if it cannot be written."""
    from hilbertune.runtime import storage

    storage.refuse_existing(out)
    above = next(folder for folder in out.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise HilbertuneError(f"Cannot write {out}: {above} is not a folder that you may write to.")


def check_source(source: str) -> None:
    """Raise HilbertuneError if there is no file `source`; "-" is the standard input.

    A file is not opened: a pipe, such as the shell's <(command), can be read only once.
    """
    if source != "-" and not (path := Path(source).expanduser()).exists():
        raise HilbertuneError(f"There is no file {path}: check the name.")


def check_model(model: str) -> dict[str, Any]:
    """Return what the config.json of a model directory says.

    Raises:
        HilbertuneError: there is no such model, or its config.json is not ours.
    """
    from hilbertune.estimator.files import folder_of, read_config

    return read_config(folder_of(model))


def check_run(directory: Path) -> None:
    """Raise HilbertuneError if a folder is not the directory of a run on hardware, or if a file of it is damaged."""
    from hilbertune.hardware.folder import read_description

    read_description(directory)


def task_of(config: dict[str, Any]) -> Task:
    """Return the task in a model's config.json; a broken one is refused later, when the whole model is read."""
    try:
        return TrainingConfig.from_dict(config["training"]).task
    except (KeyError, HilbertuneError):
        return "classification"
