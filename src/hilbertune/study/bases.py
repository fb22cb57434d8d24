"""Reading a folder of bases: the embeddings of the same rows by several bases, which may differ by seed.

In: a folder with `{base}.npz`, for all seeds, or `{base}-{seed}.npz` of each base, and a study whose arms name bases.
Out: the `Data` of the study, one block of rows for each file. Needs neither torch nor Numba.
"""

from pathlib import Path

import numpy as np

from hilbertune.data.arrays import read_embeddings
from hilbertune.data.files import Labelled
from hilbertune.data.labels import encode_labels
from hilbertune.errors import HilbertuneError
from hilbertune.study.plan import BASE, Data, Study


def has_bases(study: Study, data: Path) -> bool:
    """Return True if the data of a study are a folder of bases, as its arms or the files of the folder say."""
    named = any(arm.settings.get(BASE) is not None for arm in study.arms)
    return named or (data.is_dir() and any(data.glob("*.npz")))


def read_bases(folder: str | Path, study: Study) -> Data:
    """Read the files that the arms and seeds of a study need, and no other.

    A file holds `embeddings` [rows, width], of any float type, and `labels` [rows]. `{base}.npz` serves all seeds;
    a base that was tuned on the training rows of a seed has a file `{base}-{seed}.npz` for each.

    Args:
        folder: the folder of the files.
        study: the plan, each of whose arms names a base.

    Returns:
        embeddings [files x rows, width] and labels, with the rows of each base and seed.

    Raises:
        HilbertuneError: no such folder, an arm without a base, a base without a file for a seed or with both kinds of
            files, a file that cannot be read, or files that differ in rows, width or labels.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise HilbertuneError(f"Arms that have a base need a folder of bases as the data: {folder} {what}.")
    files = {
        (base, seed): _file_of(folder, base, seed)
        for base in dict.fromkeys(_bases(study, folder))
        for seed in study.seeds
    }
    places = {file: number for number, file in enumerate(dict.fromkeys(files.values()))}
    first, *others = places
    read = read_embeddings(first)
    classes, labels = encode_labels(read.labels)
    assert read.embeddings is not None
    rows, width = read.embeddings.shape
    embeddings = np.empty((len(places) * rows, width), np.float32)
    embeddings[:rows] = read.embeddings
    for file in others:
        start = rows * places[file]
        embeddings[start : start + rows] = _alike(read_embeddings(file), read)
    blocks = {key: slice(rows * places[file], rows * (places[file] + 1)) for key, file in files.items()}
    return Data(embeddings, np.tile(labels, len(places)), classes, str(folder), blocks)


def _bases(study: Study, folder: Path) -> list[str]:
    """Return the base of each arm."""
    for arm in study.arms:
        if arm.settings.get(BASE) is None:
            raise HilbertuneError(f"{folder} is a folder of bases: the arm {arm.name!r} must name its 'base'.")
    return [arm.settings[BASE] for arm in study.arms]


def _file_of(folder: Path, base: str, seed: int) -> Path:
    """Return the file with the embeddings of a base for a seed."""
    shared, own = folder / f"{base}.npz", folder / f"{base}-{seed}.npz"
    if not shared.exists() and not own.exists():
        raise HilbertuneError(
            f"{folder} has no base {base!r} for seed {seed}: neither {shared.name}, for all seeds, nor {own.name}."
        )
    if shared.exists() and own.exists():
        raise HilbertuneError(
            f"{folder} has {shared.name}, for all seeds, and {own.name}, for one: remove one of them."
        )
    return shared if shared.exists() else own


def _alike(read: Labelled, first: Labelled) -> np.ndarray:
    """Return the embeddings of a file that has the same rows as the first one."""
    assert read.embeddings is not None
    assert first.embeddings is not None
    own, wanted = read.embeddings.shape, first.embeddings.shape
    if own != wanted:
        raise HilbertuneError(
            f"{read.source} has {own[0]:,} rows of {own[1]:,} numbers, and {first.source} has {wanted[0]:,} of "
            f"{wanted[1]:,}: all files of a folder of bases need the same rows and width."
        )
    if read.labels != first.labels:
        raise HilbertuneError(
            f"{read.source} has other labels than {first.source}: all files of a folder of bases need the same rows, "
            "in the same order."
        )
    return read.embeddings
