"""Files and folders that are named on the command line, checked before anything slow is imported.

In: paths.
Out: what a model's config.json says; an error where the work could not start, or its result not be written.
"""

import os
from pathlib import Path
from typing import Any

from hilbertune.config.records import Task, TrainingConfig
from hilbertune.errors import HilbertuneError, require


def check_place(out: Path) -> None:
    """Raise HilbertuneError if something exists at `out`, or if a new folder cannot be made there."""
    from hilbertune.runtime.destinations import try_new_folder

    try_new_folder(out)


def check_file(path: Path) -> None:
    """Raise HilbertuneError if something exists at `path`, or if a new file cannot be made there."""
    from hilbertune.runtime.destinations import try_file

    try_file(path, new=True)


def check_folder(path: Path) -> None:
    """Raise HilbertuneError if `path` is no folder that can be written, or cannot become one."""
    from hilbertune.runtime.destinations import try_folder

    try_folder(path)


def check_picture(path: Path | None) -> None:
    """Raise HilbertuneError if a picture cannot be drawn to a file of this name; None is no picture."""
    if path is not None:
        from hilbertune.runtime.destinations import try_file
        from hilbertune.runtime.plotting import check_format

        check_format(path)
        require("matplotlib", "plot")
        try_file(path)


def check_source(source: str) -> None:
    """Raise HilbertuneError if there is no file `source`; "-" is the standard input.

    A file is not opened: a pipe, such as the shell's <(command), can be read only once.
    """
    if source != "-" and not (path := Path(os.path.expanduser(source))).exists():
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
