"""The rows of a fit: read, encoded, and split for each seed.

In: the flags that name the data and say how they are divided.
Out: labelled rows, their targets, and the rows of each seed that train, validate and test.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import typer

from hilbertune.cli.flags import Columns
from hilbertune.cli.output import say
from hilbertune.cli.rows import read_rows
from hilbertune.config.records import InputConfig, Task
from hilbertune.config.sizes import LARGEST_SEED, MOST_SEEDS
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    import numpy as np

    from hilbertune.data.files import Labelled
    from hilbertune.data.splits import Split


@dataclass(frozen=True)
class _Files:
    """The files of the data; one of `data` and `embeddings` is given."""

    data: Annotated[
        Path | None,
        typer.Argument(
            help="CSV, TSV, JSONL or Parquet file, or the name of a Hugging Face dataset.", show_default=False
        ),
    ] = None
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="Instead: an .npz, .safetensors or .parquet file with embeddings [rows, width] and labels, "
            "or a .npy file."
        ),
    ] = None
    labels: Annotated[Path | None, typer.Option(help="A .npy file with the labels of --embeddings.")] = None


@dataclass(frozen=True)
class FitRows(Columns, _Files):
    """The files of the data, and their columns."""


@dataclass(frozen=True)
class Protocol:
    """The division of the rows, the number of models trained on them, and what these are compared with."""

    panel: ClassVar[str] = "Data"

    invalid: Annotated[
        Literal["refuse", "skip"], typer.Option(help="What to do with SMILES that RDKit cannot read.")
    ] = "refuse"
    split_by: Annotated[
        Literal["class", "scaffold"],
        typer.Option(help="scaffold: by the molecules' scaffolds, 80 % to train, 10 % to validate, 10 % to test."),
    ] = "class"
    per_class: Annotated[
        int | None, typer.Option(min=1, help="Number of rows to draw from each class, anew for each seed.")
    ] = None
    test: Annotated[Path | None, typer.Option(help="Labelled data to test on.")] = None
    test_split: Annotated[str, typer.Option(help="Split of a Hugging Face dataset that --test names.")] = "test"
    test_rest: Annotated[bool, typer.Option("--test-rest", help="Test on the rows that --per-class did not draw.")] = (
        False
    )
    seeds: Annotated[
        int,
        typer.Option(
            min=1, max=MOST_SEEDS, help="Number of models, each with its own seed.", rich_help_panel="Training"
        ),
    ] = 1
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            "--random-state",
            min=0,
            max=LARGEST_SEED,
            help="The first seed.",
            rich_help_panel="Training",
        ),
    ] = 0
    baselines: Annotated[
        bool,
        typer.Option(
            help="Test classical heads on the same splits too.", show_default="yes", rich_help_panel="Training"
        ),
    ] = True

    def check(self) -> None:
        """Raise HilbertuneError if flags do not go together."""
        if self.seed + self.seeds - 1 > LARGEST_SEED:
            raise HilbertuneError(f"The last seed can be at most {LARGEST_SEED}: use a lower --seed.")
        if self.test_rest and (self.per_class is None or self.test is not None):
            raise HilbertuneError("--test-rest needs --per-class, and does not go with --test.")
        if self.split_by == "scaffold" and (self.per_class is not None or self.test is not None):
            raise HilbertuneError("--split-by scaffold does not go with --per-class or --test.")


@dataclass(frozen=True)
class Rows:
    """All rows of a fit; targets and splits count those to test on, if a test set was named, after the others."""

    labelled: "Labelled"
    held_out: "Labelled | None"
    classes: list[Any]
    targets: "np.ndarray"
    splits: "list[Split]"
    seeds: range

    @property
    def texts(self) -> list[Any]:
        """The texts of all rows."""
        more = self.held_out.texts if self.held_out is not None else None
        return [*(self.labelled.texts or []), *(more or [])]


def read_fit_rows(files: FitRows, inputs: InputConfig, protocol: Protocol, task: Task) -> Rows:
    """Read the rows and divide them.

    Raises:
        HilbertuneError: flags do not go together, a file cannot be read, or its rows cannot be divided as asked.
    """
    from hilbertune.data.labels import encode_labels, label_targets

    protocol.check()
    seeds = range(protocol.seed, protocol.seed + protocol.seeds)
    molecules = protocol.split_by == "scaffold" or inputs.embedding.startswith("morgan")

    def read(file: Path | None, embeddings: Path | None, labels: Path | None, columns: Columns) -> "Labelled":
        labelled = read_rows(file, columns, embeddings=embeddings, labels=labels, task=task)
        return _readable(labelled, protocol.invalid) if molecules and labelled.texts is not None else labelled

    labelled = read(files.data, files.embeddings, files.labels, files)
    classes, targets = encode_labels(labelled.labels, task)
    if protocol.split_by == "scaffold":
        splits = [_by_scaffold(labelled)] * protocol.seeds
    else:
        splits = _splits(targets, protocol, inputs.validation, seeds, task)
    held_out = None
    if protocol.test is not None:
        held_out = read(protocol.test, None, None, dataclasses.replace(files, split=protocol.test_split))
        targets, splits = _with_test(targets, splits, label_targets(held_out.labels, classes, task))
    return Rows(labelled, held_out, classes, targets, splits, seeds)


def _readable(labelled: "Labelled", invalid: Literal["refuse", "skip"]) -> "Labelled":
    """Return the molecules that RDKit can read; others are named, and refused or left out."""
    from hilbertune.data import molecules as chemistry

    smiles: list[Any] = list(labelled.texts or [])
    kept = chemistry.usable_rows(smiles, invalid=invalid).tolist()
    if len(kept) == len(smiles):
        return labelled
    rows = sorted(set(range(len(smiles))) - set(kept))
    shown = ", ".join(str(row + 1) for row in rows[:12]) + (", ..." if len(rows) > 12 else "")
    say(f"RDKit refuses {len(rows)} of {len(smiles)} SMILES (row{'s' * (len(rows) > 1)} {shown}): left out.")
    labels: Any = [labelled.labels[row] for row in kept]
    return dataclasses.replace(labelled, texts=[smiles[row] for row in kept], labels=labels)


def _by_scaffold(labelled: "Labelled") -> "Split":
    """Return the one split of the molecules by their scaffolds."""
    from hilbertune.data.molecules import scaffold_split

    if labelled.texts is None:
        raise HilbertuneError("--split-by scaffold needs SMILES, not embeddings.")
    return scaffold_split([str(one) for one in labelled.texts])


def _splits(targets: "np.ndarray", protocol: Protocol, validation: float, seeds: range, task: Task) -> "list[Split]":
    """Return a split for each seed; rows that were not drawn are for testing only if asked for."""
    from hilbertune.data.splits import few_shot_split

    rows, per_class = targets.tolist(), protocol.per_class
    splits = [few_shot_split(rows, per_class=per_class, validation=validation, seed=s, task=task) for s in seeds]
    if protocol.test_rest:
        return splits
    return [dataclasses.replace(split, test=split.test[:0]) for split in splits]


def _with_test(targets: "np.ndarray", splits: "list[Split]", more: "np.ndarray") -> "tuple[np.ndarray, list[Split]]":
    """Append the targets of the test set, whose rows every seed is tested on."""
    import numpy as np

    rows = np.arange(len(targets), len(targets) + len(more))
    return np.concatenate([targets, more]), [dataclasses.replace(split, test=rows) for split in splits]
