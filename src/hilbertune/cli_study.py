"""Verbs of studies: study, report.

In: a YAML file, or the directory of a study. Out: tables and a report.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hilbertune.cli_flags import Device, Json, embed_rows, print_json, progress_bars, read_rows
from hilbertune.errors import HilbertuneError


def study(
    config: Annotated[Path, typer.Argument(help="A study's YAML file, such as those in studies/.")],
    out: Annotated[
        Path,
        typer.Option(help="Directory of the study; one that exists is gone on with, never redone."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Labelled texts, or an .npz of embeddings, instead of the file the study names."
        ),
    ] = None,
    size: Annotated[
        str, typer.Option(help="A size of the study, such as quick; full is the published one.")
    ] = "full",
    seeds: Annotated[
        int | None, typer.Option(min=1, help="So many seeds; more than before runs the new ones.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say how many runs, parameters, how long, how large."),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try runs again that ended in an error.")
    ] = False,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Run a study: train every arm over seeds, choose on validation, test, compare, report.

    Example: hilbertune study studies/ablations.yaml --size quick --data x.npz --out s

    Example: hilbertune study studies/low-data.yaml --data x.npz --out s --dry-run
    """
    from hilbertune import plan
    from hilbertune import report as reports
    from hilbertune import study as studies
    from hilbertune.classifier import check_device
    from hilbertune.data import encode_labels
    from hilbertune.embedding import EMBEDDED_MODEL, Embedder

    asked = plan.read(config, size=size, seeds=seeds)
    about = asked.data
    file = data or (config.parent / about["file"] if "file" in about else None)
    if file is None:
        raise HilbertuneError(f"{config} names no data: add 'file' under 'data', or give --data.")
    labelled = read_rows(
        file,
        None,
        about.get("text", "text"),
        about.get("label", "label"),
        about.get("split", "train"),
    )
    classes, labels = encode_labels(labelled.labels)
    check_device(device)
    with progress_bars() as progress:
        embedder = (
            Embedder(about.get("embedding", EMBEDDED_MODEL), device=device)
            if labelled.texts
            else None
        )
        vectors = embed_rows(labelled, embedder, progress)
        known = plan.Data(vectors, labels, classes, str(file))
        if not dry_run:
            results = studies.run(
                asked, known, out, device=device, retry_failed=retry_failed, progress=progress
            )
            progress("report", 0.0)
            place = reports.write(out)
            progress("report", 1.0)
    if dry_run:
        expected = studies.estimate(asked, known, out)
        print_json(expected) if json_ else _expected_text(expected)
    elif json_:
        print_json({**{k: results[k] for k in ("title", "arms", "comparisons", "effects", "failures")}, "report": str(place)})  # fmt: skip
    else:
        _study_text(results, place)


def _expected_text(expected: Mapping[str, Any]) -> None:
    minutes = expected["seconds"] / 60
    time = f"{minutes / 60:.1f} hours" if minutes > 90 else f"{minutes:.1f} minutes"
    for name, parameters in expected["parameters"].items():
        words = "" if parameters is None else f", {parameters} parameters"
        print(f"{name}: {expected['trials'][name]} trial(s){words}")
    print(
        f"{expected['runs']} runs, of which {expected['missing']} are missing, in {expected['blocks']} blocks: "
        f"about {time} on this machine (good to a factor of 2), {expected['bytes'] / 1e6:.1f} MB."
    )


def _study_text(results: Mapping[str, Any], place: Path) -> None:
    """Arms and what the comparison says, for people."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("arm", "accuracy", "95 % interval", "parameters", "seeds"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for arm in results["arms"]:
        found = arm["summary"] or {"mean": None, "low": None, "high": None}
        table.add_row(
            arm["name"],
            "failed" if found["mean"] is None else f"{found['mean']:.4f}",
            "" if found["low"] is None else f"{found['low']:.4f} to {found['high']:.4f}",
            "" if arm["parameters"] is None else f"{arm['parameters']:.0f}",
            str(len(arm["seeds"])),
        )
    console = Console()
    console.print(table)
    for compared in results["comparisons"]:
        console.print(compared["sentence"], highlight=False, markup=False)
    for failed in results["failures"]:
        text = f"Failed: {failed['arm']}, seed {failed['seed']}: {failed['error']}"
        console.print(text, highlight=False, markup=False)
    print(f"Report: {place}")


def report(
    directory: Annotated[Path, typer.Argument(help="Directory of a study.")],
    json_: Json = False,
) -> None:
    """Make the report of a study again, from its results.json.

    Example: hilbertune report s
    """
    from hilbertune.report import write

    place = write(directory)
    print_json({"report": str(place)}) if json_ else print(f"Report: {place}")
