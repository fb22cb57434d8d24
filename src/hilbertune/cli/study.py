"""The verbs of studies: study, report.

In: a YAML file, the name of a study that comes with the package, or the directory of a study.
Out: tables and a report.
"""

import os
import re
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import typer

from hilbertune.cli.flags import Columns, Device, Json, Trackers, finite, named_place, with_records
from hilbertune.cli.output import LOUDNESS, print_json, remark, say
from hilbertune.cli.places import check_folder
from hilbertune.cli.progress import duration, progress_bars
from hilbertune.cli.rows import embed_rows, read_rows
from hilbertune.cli.tables import print_expected, print_study, print_table
from hilbertune.config.records import EMBEDDED_MODEL
from hilbertune.config.sizes import MOST_SEEDS
from hilbertune.errors import HilbertuneError, shown
from hilbertune.study.shipped import find_study, shipped

if TYPE_CHECKING:
    from hilbertune.data.files import Labelled
    from hilbertune.study.plan import Data, Study

DEMO = Path("demo")
"""The name of the data that the demo is shown with."""


@dataclass(frozen=True)
class Wanted:
    """The request: which part of a study to run, on which data and where."""

    panel: ClassVar[str] = "Study"

    data: Annotated[
        Path | None,
        typer.Option(
            help="Labelled texts, an .npz file of embeddings, a folder of bases, or demo for its film reviews, instead "
            "of the file the study names."
        ),
    ] = None
    size: Annotated[
        str, typer.Option(help="A size that the study declares, such as quick; full is the published one.")
    ] = "full"
    seeds: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_SEEDS, help="Number of seeds; raising it runs only the new ones."),
    ] = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only estimate the runs, the parameters, the time and the disk space.")
    ] = False
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run again what ended in an error.")] = False
    device: Device = "cpu"
    workers: Annotated[
        str | None,
        typer.Option(
            help="auto, or a number: Ray spreads blocks of runs over this machine, or the cluster at $RAY_ADDRESS."
        ),
    ] = None
    storage: Annotated[
        str | None,
        typer.Option(
            envvar="HILBERTUNE_STORAGE",
            help="For a search: URL of a database that several machines share; by default a file.",
        ),
    ] = None

    def hands(self) -> int | str | None:
        """Return the number of workers, "auto", or None for this process alone.

        Raises:
            HilbertuneError: it is neither a number nor auto.
        """
        if self.workers is None or self.workers == "auto":
            return self.workers
        if not re.fullmatch("[1-9][0-9]{0,3}", self.workers):
            raise HilbertuneError(f"--workers takes a number or auto, up to 9999, not {shown(self.workers)}.")
        return int(self.workers)


@dataclass(frozen=True)
class Cluster:
    """The batch job that runs a study on a cluster."""

    panel: ClassVar[str] = "Cluster"

    cluster: Annotated[Literal["slurm"] | None, typer.Option(help="Submit the study as a batch job of a cluster.")] = (
        None
    )
    print_: Annotated[bool, typer.Option("--print", help="With --cluster: print the batch script, submit nothing.")] = (
        False
    )
    system: Annotated[
        Literal["frontier", "nvidia", "cpu"], typer.Option(help="With --cluster: the kind of its nodes.")
    ] = "nvidia"
    nodes: Annotated[int, typer.Option(min=1, max=100_000, help="With --cluster: number of nodes.")] = 1
    gpus_per_node: Annotated[int | None, typer.Option(min=0, max=1000, help="With --cluster: GPUs of a node.")] = None
    hours: Annotated[
        float,
        typer.Option(parser=finite(0.01, 10_000), metavar="<float>", help="With --cluster: time limit in hours."),
    ] = 2.0
    account: Annotated[str | None, typer.Option(help="With --cluster: the account that is charged.")] = None
    partition: Annotated[str | None, typer.Option(help="With --cluster: its queue.")] = None


def _names() -> list[str]:
    """Return the names of the studies that come with the package, for the shell to complete."""
    return list(shipped())


@with_records
def study(
    config: Annotated[
        str | None,
        typer.Argument(
            help="A study's YAML file, or the name of one that comes with the package (--list).",
            autocompletion=_names,
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            parser=named_place,
            metavar="PATH",
            help="Directory of the study; an existing one is resumed, never redone.  [required]",
            rich_help_panel="Output",
        ),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List the studies that come with the package.", rich_help_panel="Output")
    ] = False,
    *,
    wanted: Wanted,
    cluster: Cluster,
    trackers: Trackers,
    json_: Json = False,
) -> None:
    """Run a study: train every arm over seeds, choose on validation, test, compare, report.

    Example: hilbertune study --list

    Example: hilbertune study ablations --size quick --data x.npz --out s

    Example: hilbertune study ablations --data x.npz --out s --workers auto

    Example: hilbertune study a.yaml --out s --cluster slurm --system frontier --nodes 8 --print

    Example: hilbertune study low-data --data x.npz --out s --dry-run
    """
    if list_:
        _list(json_)
        return
    if config is None:
        raise typer.BadParameter("name a YAML file, or a study of hilbertune study --list", param_hint="config")
    if out is None:
        raise HilbertuneError("A study needs a directory for its runs: give --out.")
    _study(config, out, wanted, cluster, trackers, json_)


def _list(json_: bool) -> None:
    """Print the studies that come with the package."""
    from hilbertune.study.configuration import read_study, sizes_of

    found: list[dict[str, Any]] = []
    for name, file in shipped().items():
        read = read_study(file)
        about = {"title": read.title, "about": read.about, "arms": len(read.arms), "sizes": sizes_of(file)}
        found.append({"name": name, **about})
    if json_:
        print_json({"studies": found})
    else:
        cells = [(one["name"], one["title"], str(one["arms"]), ", ".join(one["sizes"])) for one in found]
        print_table(("study", "title", "arms", "sizes"), cells, words=("title", "sizes"))


def _study(name: str, out: Path, wanted: Wanted, cluster: Cluster, trackers: Trackers, json_: bool) -> None:
    """Estimate, submit or run one study."""
    from hilbertune.study.configuration import read_study

    config = find_study(name)
    asked = read_study(config, size=wanted.size, seeds=wanted.seeds)
    if cluster.cluster is not None:
        _batch_job(config, out, wanted, cluster, trackers, json_)
        return
    if cluster.print_:
        raise HilbertuneError("--print goes with --cluster slurm.")
    hands = wanted.hands()
    file = _data_file(config, asked, wanted)
    labelled = _labelled(file, asked)
    # Slow to import, so only once the study and its data are known to be good.
    from hilbertune.estimator.devices import check_device

    check_device(wanted.device)
    mirrors = trackers.mirrors()
    if wanted.dry_run:
        with progress_bars() as progress:
            data = _data(asked, labelled, file, wanted.device, progress)
            expected = _expected(asked, data, out, _blocks_for(hands), progress)
        print_json(expected) if json_ else print_expected(expected)
        return
    check_folder(out)
    results, place = _run(asked, labelled, file, out, wanted, mirrors)
    if json_:
        keys = ("title", "arms", "comparisons", "effects", "failures", "search")
        print_json({**{key: results[key] for key in keys}, "report": str(place)})
    else:
        print_study(results, place)


def _expected(asked: "Study", data: "Data", out: Path, blocks: int, progress: Any) -> dict[str, Any]:
    """Return what a study would take, measured by a short training here."""
    from hilbertune.study.estimate import estimate_study

    progress("estimating", 0.0)
    expected = estimate_study(asked, data, out, blocks)
    progress("estimating", 1.0)
    return expected


def _say_how_long(asked: "Study", data: "Data", out: Path, wanted: Wanted, progress: Any) -> None:
    """Say how long the study will take, where a short training on this machine can tell: not a GPU, not others."""
    if wanted.device != "cpu" or wanted.workers is not None or asked.search or LOUDNESS.get() < 0:
        return
    expected = _expected(asked, data, out, 1, progress)
    if expected["missing"]:
        remark(
            f"{expected['missing']} of {expected['runs']} runs to train: about {duration(expected['seconds'])} on this "
            "machine, within a factor of 2, by a short training just now. Stop at any time: the same command resumes."
        )


def _data_file(config: Path, asked: "Study", wanted: Wanted) -> Path:
    """Return the file of the data: that of the command, else that of the study, beside its YAML file."""
    if wanted.data is not None:
        return wanted.data
    if "file" not in asked.data:
        raise HilbertuneError(f"{config} names no data: add 'file' under 'data', or give --data.")
    file = config.parent / str(asked.data["file"])
    if config in shipped().values() and not file.exists():
        if any(arm.settings.get("base") is not None for arm in asked.arms):
            raise HilbertuneError(
                f"The data of {config.stem} do not come with the package: give --data FOLDER of bases."
            )
        raise HilbertuneError(
            f"The data of {config.stem} do not come with the package: give --data FILE, or --data demo for the film "
            "reviews of the demo."
        )
    return file


def _labelled(file: Path, asked: "Study") -> "Labelled | Data":
    """Return the rows of a file, or those of the demo; where arms have bases, the data of their folder."""
    from hilbertune.study.bases import has_bases, read_bases

    if has_bases(asked, file):
        return read_bases(file, asked)
    if file == DEMO and not file.exists():
        from hilbertune.data.packages import demo_sentences

        return demo_sentences()
    return read_rows(file, _columns(asked))


def _columns(asked: "Study") -> Columns:
    return Columns(**{key: asked.data[key] for key in ("text", "label", "split") if key in asked.data})


def _data(
    asked: "Study", labelled: "Labelled | Data", file: Path, device: str, progress: Any = lambda *_: None
) -> "Data":
    """Return the data of a study: embeddings and the classes of all rows."""
    from hilbertune.data.labels import encode_labels
    from hilbertune.embedding.embedder import Embedder
    from hilbertune.study.plan import Data

    if isinstance(labelled, Data):
        return labelled
    classes, labels = encode_labels(labelled.labels)
    embedder = Embedder(asked.data.get("embedding", EMBEDDED_MODEL), device=device) if labelled.texts else None
    return Data(embed_rows(labelled, embedder, progress), labels, classes, str(file))


def _run(
    asked: "Study", labelled: "Labelled | Data", file: Path, out: Path, wanted: Wanted, mirrors: Any
) -> tuple[Any, Path]:
    """Run the study, copy its runs to the trackers, write its report; return the results and the report's place."""
    from hilbertune.report import tracking
    from hilbertune.report.page import write_report
    from hilbertune.runtime import energy
    from hilbertune.study.running import run_study

    hands: Any = wanted.hands()
    with progress_bars() as progress:
        data = _data(asked, labelled, file, wanted.device, progress)
        progress("planning", 0.0)
        _say_how_long(asked, data, out, wanted, progress)
        # A meter counts a whole machine: with several workers nobody could say whose joules they are.
        with energy.metering() if hands is None else nullcontext():
            results = run_study(
                asked,
                data,
                out,
                device=wanted.device,
                workers=hands,
                storage=wanted.storage,
                retry_failed=wanted.retry_failed,
                progress=progress,
            )
        if mirrors:
            progress("mirroring", 0.0)
            for sentence in tracking.copy_runs(tracking.of_study(out, out.name), mirrors):
                say(sentence)
            progress("mirroring", 1.0)
        progress("report", 0.0)
        place = write_report(out)
        progress("report", 1.0)
    return results, place


def _blocks_for(hands: int | str | None) -> int:
    """Return the number of workers to plan blocks for; those of a cluster are known once it is there."""
    if hands is None:
        return 1
    return len(os.sched_getaffinity(0)) if isinstance(hands, str) else hands


def _batch_job(config: Path, out: Path, wanted: Wanted, cluster: Cluster, trackers: Trackers, json_: bool) -> None:
    """Print or submit the script that gives this command, without the cluster, to every node."""
    from hilbertune.study import slurm

    given = {
        "--out": out.absolute(),
        "--data": wanted.data and wanted.data.absolute(),
        "--size": wanted.size,
        "--seeds": wanted.seeds,
        "--tensorboard": trackers.tensorboard and trackers.tensorboard.absolute(),
        "--mlflow": trackers.mlflow,
        "--wandb": trackers.wandb,
    }
    command = ["study", str(config.absolute())]
    command += [str(word) for pair in given.items() if pair[1] is not None for word in pair]
    command += ["--retry-failed"] if wanted.retry_failed else []
    if cluster.system != "cpu" and cluster.gpus_per_node != 0:
        command += ["--device", "cuda"]  # also the name of AMD's GPUs in a ROCm build of torch
    text = slurm.script(
        command,
        system=cluster.system,
        nodes=cluster.nodes,
        gpus=cluster.gpus_per_node,
        hours=cluster.hours,
        account=cluster.account,
        partition=cluster.partition,
    )
    if cluster.print_:
        print_json({"script": text}) if json_ else print(text)
    else:
        answer = slurm.submit(text)
        print_json({"submitted": answer}) if json_ else print(answer)


def report(
    directory: Annotated[Path, typer.Argument(help="Directory of a study.")],
    json_: Json = False,
) -> None:
    """Make the report of a study again, from its results.json.

    Example: hilbertune report s
    """
    from hilbertune.report.page import write_report
    from hilbertune.report.reading import read_results

    check_folder(directory)
    with progress_bars() as progress:
        progress("report", 0.0)
        read_results(directory / "results.json")
        place = write_report(directory)
        progress("report", 1.0)
    print_json({"report": str(place)}) if json_ else print(f"Report: {place}")
