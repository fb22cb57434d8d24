"""Verbs of studies: study, report.

In: a YAML file, or the directory of a study. Out: tables and a report.
"""

import os
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hilbertune.cli.flags import Device, Json, MLflow, TensorBoard, WandB
from hilbertune.cli.output import print_json, progress_bars, say
from hilbertune.cli.rows import embed_rows, read_rows
from hilbertune.errors import HilbertuneError


def study(
    config: Annotated[Path, typer.Argument(help="A study's YAML file, such as those in studies/.")],
    out: Annotated[
        Path,
        typer.Option(help="Directory of the study; one that exists is gone on with, never redone."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="Labelled texts, or an .npz of embeddings, instead of the file the study names."),
    ] = None,
    size: Annotated[str, typer.Option(help="A size of the study, such as quick; full is the published one.")] = "full",
    seeds: Annotated[int | None, typer.Option(min=1, help="So many seeds; more than before runs the new ones.")] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say how many runs, parameters, how long, how large."),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try runs again that ended in an error.")
    ] = False,
    device: Device = "cpu",
    workers: Annotated[
        str | None,
        typer.Option(
            help="auto, or a number: Ray spreads blocks of runs over this machine, or the cluster at $RAY_ADDRESS."
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            envvar="HILBERTUNE_STORAGE",
            help="Of a search: URL of a database that several machines share; default a file.",
        ),
    ] = None,
    cluster: Annotated[
        Literal["slurm"] | None, typer.Option(help="Submit the study as a batch job of a cluster.")
    ] = None,
    print_: Annotated[
        bool,
        typer.Option("--print", help="With --cluster: print the batch script, submit nothing."),
    ] = False,
    system: Annotated[
        Literal["frontier", "nvidia", "cpu"],
        typer.Option(help="With --cluster: what its nodes are."),
    ] = "nvidia",
    nodes: Annotated[int, typer.Option(min=1, help="With --cluster: nodes.")] = 1,
    gpus_per_node: Annotated[int | None, typer.Option(min=0, help="With --cluster: GPUs of a node.")] = None,
    hours: Annotated[float, typer.Option(help="With --cluster: time limit.")] = 2.0,
    account: Annotated[str | None, typer.Option(help="With --cluster: whose hours.")] = None,
    partition: Annotated[str | None, typer.Option(help="With --cluster: its queue.")] = None,
    tensorboard: TensorBoard = None,
    mlflow: MLflow = None,
    wandb: WandB = None,
    json_: Json = False,
) -> None:
    """Run a study: train every arm over seeds, choose on validation, test, compare, report.

    Example: hilbertune study studies/ablations.yaml --size quick --data x.npz --out s

    Example: hilbertune study studies/ablations.yaml --data x.npz --out s --workers auto

    Example: hilbertune study a.yaml --out s --cluster slurm --system frontier --nodes 8 --print

    Example: hilbertune study studies/low-data.yaml --data x.npz --out s --dry-run
    """
    from hilbertune.config.records import EMBEDDED_MODEL
    from hilbertune.data.labels import encode_labels
    from hilbertune.embedding.embedder import Embedder
    from hilbertune.estimator.devices import check_device
    from hilbertune.report import page as reports
    from hilbertune.report import tracking
    from hilbertune.runtime import energy
    from hilbertune.study import configuration, estimate, plan, running

    asked = configuration.read_study(config, size=size, seeds=seeds)
    if cluster is not None:
        on = (system, nodes, gpus_per_node, hours, account, partition)
        to = {
            "--tensorboard": tensorboard and tensorboard.absolute(),
            "--mlflow": mlflow,
            "--wandb": wandb,
        }
        _batch_job(config, data, out, size, seeds, retry_failed, on, print_, to)
        return
    if print_:
        raise HilbertuneError("--print goes with --cluster slurm.")
    if workers is not None and workers != "auto" and not workers.isdigit():
        raise HilbertuneError(f"--workers takes a number or auto, not {workers!r}.")
    hands = int(workers) if workers and workers != "auto" else workers
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
    mirrors = tracking.mirrors(tensorboard, mlflow, wandb)
    with progress_bars() as progress:
        embedder = Embedder(about.get("embedding", EMBEDDED_MODEL), device=device) if labelled.texts else None
        vectors = embed_rows(labelled, embedder, progress)
        known = plan.Data(vectors, labels, classes, str(file))
        if not dry_run:
            # A meter counts a whole machine: with several workers nobody could say whose joules they are.
            with energy.metering() if hands is None else nullcontext():
                results = running.run_study(
                    asked,
                    known,
                    out,
                    device=device,
                    workers=hands,  # type: ignore[arg-type]
                    storage=storage,
                    retry_failed=retry_failed,
                    progress=progress,
                )
            if mirrors:
                progress("mirroring", 0.0)
                for sentence in tracking.copy(tracking.of_study(out, out.name), mirrors):
                    say(sentence)
                progress("mirroring", 1.0)
            progress("report", 0.0)
            place = reports.write_report(out)
            progress("report", 1.0)
    if dry_run:
        expected = estimate.estimate_study(asked, known, out, _count(hands))
        print_json(expected) if json_ else _expected_text(expected)
    elif json_:
        print_json({**{k: results[k] for k in ("title", "arms", "comparisons", "effects", "failures", "search")}, "report": str(place)})  # fmt: skip
    else:
        _study_text(results, place)


def _count(workers: int | str | None) -> int:
    """Blocks are planned for so many; those of a cluster are known once it is there."""
    if workers is None:
        return 1
    return len(os.sched_getaffinity(0)) if isinstance(workers, str) else workers


def _batch_job(
    config: Path,
    data: Path | None,
    out: Path,
    size: str,
    seeds: int | None,
    retry_failed: bool,
    on: tuple[str, int, int | None, float, str | None, str | None],
    show: bool,
    mirrors: Mapping[str, Any],
) -> None:
    """Print or submit the script that gives this command, without the cluster, to every node."""
    from hilbertune.study import slurm

    system, nodes, gpus, hours, account, partition = on
    given = {"--out": out.absolute(), "--data": data and data.absolute(), "--size": size, "--seeds": seeds, **mirrors}  # fmt: skip
    command = ["study", str(config.absolute())]
    command += [str(word) for pair in given.items() if pair[1] is not None for word in pair]
    command += ["--retry-failed"] if retry_failed else []
    if system != "cpu" and gpus != 0:
        command += ["--device", "cuda"]  # also the name of AMD's GPUs in a ROCm build of torch
    text = slurm.script(
        command, system=system, nodes=nodes, gpus=gpus, hours=hours, account=account, partition=partition
    )  # fmt: skip
    print(text if show else slurm.submit(text))


def _expected_text(expected: Mapping[str, Any]) -> None:
    minutes = expected["seconds"] / 60
    time = f"{minutes / 60:.1f} hours" if minutes > 90 else f"{minutes:.1f} minutes"
    for name, parameters in expected["parameters"].items():
        words = "" if parameters is None else f", {parameters} parameters"
        print(f"{name}: {expected['trials'][name]} trial(s){words}")
    print(
        f"{expected['runs']} runs, of which {expected['missing']} are missing, in {expected['blocks']} blocks: "
        f"about {time} on this machine (good to a factor of 2), {expected['bytes'] / 1e6:.1f} MB. "
        f"Up to {expected['largest_block']} runs train side by side, which takes about {expected['block_bytes'] / 1e6:.0f} MB of memory."
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
    for name, found in (results["search"] or {}).items():
        counts = ", ".join(f"{found[k]} {k}" for k in ("complete", "pruned", "failed"))
        console.print(f"Trials of {name}: {counts}.", highlight=False, markup=False)
        for best in found["best"][:10]:
            values = zip(found["objectives"], best["values"], strict=True)
            words = ", ".join(f"{k} {v:.4g}" for k, v in values)
            settings = ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in best["settings"].items())  # fmt: skip
            console.print(f"  {words}: {settings}", highlight=False, markup=False)
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
    from hilbertune.report.page import write_report

    place = write_report(directory)
    print_json({"report": str(place)}) if json_ else print(f"Report: {place}")
