"""The verbs of `hilbertune qpu`: backends, estimate, run, resume, status, cancel, results.

In: a model and labelled rows, or a run directory.
Out: prices before anything is sent, and results that survive whatever happens to this process.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hilbertune.cli.flags import Device, Json, ModelArgument, TestColumns, TestData, finite, with_records
from hilbertune.cli.output import print_json, say
from hilbertune.cli.places import check_model, check_place, check_run, task_of
from hilbertune.cli.rows import classes_of, embed_for, first_rows, read_rows
from hilbertune.cli.spending import allowed, confirmed, in_words, of_extras
from hilbertune.cli.tables import value_text
from hilbertune.config.sizes import LARGEST_SEED
from hilbertune.errors import HilbertuneError, MissingExtraError, shown

if TYPE_CHECKING:
    import numpy as np

    from hilbertune.data.files import Labelled
    from hilbertune.estimator.base import HybridEstimator
    from hilbertune.hardware.backend import HardwareBackend
    from hilbertune.hardware.ledger import Ledger
    from hilbertune.hardware.measurement import MeasuredRun
    from hilbertune.hardware.options import Options

MOST_SCALE = 99
"""Largest factor by which gates are repeated to scale the noise."""

app = typer.Typer(
    name="qpu",
    help="Run a trained head on quantum hardware: estimate, run, resume.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

Directory = Annotated[Path, typer.Argument(help="Run directory.")]
NewDirectory = Annotated[Path, typer.Option(help="New run directory.")]
Backend = Annotated[
    str,
    typer.Option(
        help="simulator (IonQ's, free), qpu.forte-1, qpu.forte-enterprise-1, ibm:NAME, braket:NAME; "
        "without an account: local (Aer), ibm:fake_manila, braket:local."
    ),
]
Rows = Annotated[int | None, typer.Option(min=1, help="Number of rows to measure, from the first; by default all.")]


MaxCost = Annotated[
    float | None,
    typer.Option(
        parser=finite(0, 1e12),
        metavar="<float>",
        help="Spend no more than this in all, checked before anything is sent; if it is enough, no question is asked.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of a simulator's noise and shots.")]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Send batches that failed, or whose results were refused, again.")
]
SentAs = Annotated[
    str | None,
    typer.Option(help="The vendor's id of the job of a batch in doubt, if it cannot be looked up."),
]
NotSent = Annotated[
    bool,
    typer.Option(
        "--not-sent",
        help="You have looked: the job of a batch in doubt does not exist or brings no results. It is sent again.",
    ),
]
Number = Annotated[
    int | None,
    typer.Option("--batch", min=1, help="The batch that --sent-as or --not-sent is about, if several are in doubt."),
]
Accept = Annotated[
    int | None,
    typer.Option("--accept", min=1, help="Number of a batch whose results were refused: take them as they are."),
]
Extra = Annotated[
    bool, typer.Option("--extra", help="Cancel only jobs that the vendor made twice, after looking for them.")
]


@dataclass(frozen=True)
class Measuring:
    """The way rows are measured: where, how often, and with which corrections."""

    backend: Backend = "simulator"
    shots: Annotated[int, typer.Option(min=1, max=10_000_000, help="Shots for each row.")] = 1024
    noise: Annotated[str | None, typer.Option(help="Noise model of simulator or local: aria-1, aria-2, forte-1.")] = (
        None
    )
    gateset: Annotated[
        Literal["qis", "native"],
        typer.Option(help="qis: the vendor compiles. native: our compilation runs as it is."),
    ] = "qis"
    debiasing: Annotated[
        bool, typer.Option("--debiasing", help="The vendor's error mitigation (500 shots or more).")
    ] = False
    readout: Annotated[
        bool, typer.Option("--readout", help="Undo readout errors, measured with two more circuits.")
    ] = False
    noise_scales: Annotated[
        str,
        typer.Option("--noise-scales", help="Zero-noise extrapolation, such as 1,3: each scale takes all shots."),
    ] = "1"
    pricing: Annotated[
        Literal["vendor", "azure", "braket", "free"],
        typer.Option(help="vendor: live estimate. azure, braket: published formulas. free: a plan that bills no jobs."),
    ] = "vendor"
    batch_circuits: Annotated[int | None, typer.Option(min=1, help="Maximum number of circuits in one job.")] = None
    check_circuit: Annotated[
        bool,
        typer.Option(
            "--check-circuit/--no-check-circuit",
            help="Let a small circuit whose answer is known ride in each job of a vendor, and refuse results that "
            "contradict it, such as reversed bits.",
        ),
    ] = True

    def scales(self) -> tuple[int, ...]:
        """Return the factors by which the noise is scaled.

        Raises:
            HilbertuneError: they are not whole numbers.
        """
        try:
            scales = tuple(int(part) for part in self.noise_scales.split(","))
        except ValueError:
            scales = ()
        if not scales or not all(1 <= scale <= MOST_SCALE for scale in scales):
            raise HilbertuneError(
                f"--noise-scales takes odd numbers up to {MOST_SCALE} such as 1,3, not {shown(self.noise_scales)}."
            )
        return scales

    def options(self, seed: int = 0) -> "Options":
        """Return the options of a run."""
        from hilbertune.hardware.options import Options

        same: dict[str, Any] = {name: getattr(self, name) for name in Measuring.__dataclass_fields__}
        del same["noise_scales"]
        return Options(**same, scales=self.scales(), seed=seed)


@dataclass(frozen=True)
class Estimating(Measuring):
    """The way rows would be measured."""

    backend: Backend = "qpu.forte-1"


@app.command()
def backends(json_: Json = False) -> None:
    """List IonQ's backends: qubits, state, queue.

    Example: hilbertune qpu backends
    """
    from hilbertune.hardware.ionq import IonQ

    known = IonQ("simulator", say=say).backends()
    if json_:
        print_json({"backends": known})
        return
    for one in known:
        queue = one["average_queue_time"]
        waits = "" if not queue else f", about {queue / 60_000:.0f} minutes to wait"
        print(f"{one['backend']:24} {one['qubits'] or '?'!s:>4} qubits, {one['status'] or 'state not known'}{waits}")


@app.command()
@with_records
def estimate(
    model: ModelArgument,
    data: TestData,
    measuring: Estimating,
    columns: TestColumns,
    rows: Rows = None,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Say what a run would take: circuits, gates, shots, price, time. Nothing is sent.

    Each head of an ensemble measures each row, and all of them are counted.

    Example: hilbertune qpu estimate model test.csv --backend qpu.forte-1 --pricing azure
    """
    options = measuring.options()
    labelled = _read(model, data, columns, rows)
    from hilbertune.hardware.measurement import bind_rows
    from hilbertune.hardware.outlook import NOWHERE, outlook
    from hilbertune.hardware.results import of_members

    provider = _priced(options)
    outlook(check_model(model), len(labelled.labels), options, provider)  # refuses what no embedding would mend
    loaded, vectors = _embedded(model, labelled, device)
    circuits, members = bind_rows(loaded, vectors), loaded.head_.members
    expected = options.executor(NOWHERE, provider).estimate(circuits)
    if json_:
        print_json({**of_members(members), **vars(expected), "energy_joules": None})
    else:
        print(in_words(expected, len(vectors), members, len(options.scales)))


@app.command()
@with_records
def run(
    model: ModelArgument,
    data: TestData,
    out: NewDirectory,
    measuring: Measuring,
    columns: TestColumns,
    rows: Rows = None,
    max_cost: MaxCost = None,
    seed: Seed = 0,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Measure a test set on hardware: estimate, confirm, send, wait, compare.

    Example: hilbertune qpu run model test.csv --rows 50 --backend local --noise forte-1 --out r

    Example: hilbertune qpu run model test.csv --backend qpu.forte-1 --max-cost 500 --out r
    """
    check_place(out)
    options = measuring.options(seed)
    labelled = _read(model, data, columns, rows)
    from hilbertune.data.labels import label_targets
    from hilbertune.hardware.measurement import create_run
    from hilbertune.hardware.outlook import outlook, require_room

    config, provider, count = check_model(model), options.provider(say), len(labelled.labels)
    require_room(config, provider)
    if (waits := provider.ready()) is not None:
        say(waits)
    usual, limit = outlook(config, count, options, provider), max_cost
    if labelled.embeddings is None:  # before an hour of embedding
        say(f"About {in_words(usual, count)}")
        limit = allowed(usual, max_cost, again=False)
    loaded, vectors = _embedded(model, labelled, device)
    truth = label_targets(labelled.labels, classes_of(loaded), loaded.task_)
    made = create_run(out, loaded, vectors, truth, options)
    executor = options.executor(out, provider, say=say)
    expected = executor.estimate(made.bound_circuits)
    say(in_words(expected, len(vectors), made.members, len(options.scales)))
    executor.max_cost = allowed(expected, limit)
    _finish(made, executor, json_)


@app.command()
def resume(
    directory: Directory,
    max_cost: MaxCost = None,
    retry_failed: RetryFailed = False,
    sent_as: SentAs = None,
    not_sent: NotSent = False,
    batch: Number = None,
    accept: Accept = None,
    json_: Json = False,
) -> None:
    """Resume a run: adopt what was sent, collect what is paid, then send what was not; keep what is there.

    Example: hilbertune qpu resume r

    Example: hilbertune qpu resume r --batch 3 --not-sent --max-cost 500
    """
    if not_sent and sent_as is not None:
        raise HilbertuneError("Give --sent-as or --not-sent, not both.")
    settles = not_sent or sent_as is not None
    if batch is not None and not settles:
        raise HilbertuneError("--batch goes with --sent-as or --not-sent.")
    check_run(directory)
    from hilbertune.hardware.measurement import read_run

    made = read_run(directory)
    reader = made.reader()
    if not settles and accept is None and reader.finished(reader.groups(made.bound_circuits)):
        _ask_for_bills(made, reader)
        _finish(made, reader, json_)
        return
    with reader.owner.hold():
        executor = made.options.executor(directory, say=say, retry_failed=retry_failed)
        executor.owner, groups = reader.owner, executor.groups(made.bound_circuits)
        if settles:
            executor.settle_by_hand(sent_as, batch)
        if accept is not None:
            executor.accept(accept, executor.parts(groups))
        executor.ask_for_bills()
        executor.collect(groups)
        left, unit = executor.remainder(groups)
        if left and max_cost is None:
            executor.max_cost = executor.ledger.committed() + confirmed(f"Spend {left:.2f} {unit} more", left)
        else:
            executor.max_cost = max_cost
        _finish(made, executor, json_)


@app.command()
def status(directory: Directory, json_: Json = False) -> None:
    """Show what the ledger of a run says, and what the vendor says of its open batches.

    Example: hilbertune qpu status r
    """
    check_run(directory)
    from hilbertune.hardware.ledger import Ledger
    from hilbertune.hardware.measurement import read_run
    from hilbertune.hardware.results import of_members, totals

    made = read_run(directory)
    ledger = Ledger(directory / "ledger.sqlite")
    said = _said_of_open(made.options, directory, ledger)
    batches, figures = ledger.batches(), totals(ledger)
    if json_:
        jobs = [{**vars(b), "vendor": said.get(b.number)} for b in batches]
        print_json({**of_members(made.members), **figures, "jobs": jobs})
        return
    if made.members > 1:
        print(f"{made.members} heads x {len(made.truth):,} rows")
    for b in batches:
        job = f", job {b.job}" if b.job else ""
        why = said.get(b.number) or b.error
        print(f"batch {b.number}: {b.state}, {b.circuits} circuits x {b.shots} shots{job}{f' ({why})' if why else ''}")
    for sentence in of_extras(figures, directory):
        print(sentence)


@app.command()
def cancel(directory: Directory, extra: Extra = False, json_: Json = False) -> None:
    """Cancel the batches that are open at the vendor; results that have come in stay.

    Example: hilbertune qpu cancel r

    Example: hilbertune qpu cancel r --extra
    """
    check_run(directory)
    from hilbertune.hardware.folder import read_description
    from hilbertune.hardware.ledger import Ledger

    ledger = Ledger(directory / "ledger.sqlite")
    numbers: list[int] = []
    if extra:
        found = read_description(directory).options.executor(directory, say=say).cancel_extras()
        if json_:
            print_json({"extra_jobs": [vars(one) for one in found]})
        else:
            print(f"Extra jobs: {len(found)}{''.join(f'; {one.job} is {one.state}' for one in found)}.")
        return
    if any(True for _ in ledger.open_batches()):
        numbers = read_description(directory).options.executor(directory, say=say).cancel()
    if json_:
        print_json({"cancelled": numbers})
    else:
        print(f"Cancelled: {len(numbers)} of {len(ledger.batches())} batches.")


@app.command()
def results(directory: Directory, json_: Json = False) -> None:
    """Show the accuracy on hardware beside exact simulation and the noise model, from what the ledger holds.

    Example: hilbertune qpu results r
    """
    check_run(directory)
    from hilbertune.hardware.measurement import read_run

    made = read_run(directory)
    _finish(made, made.reader(), json_)


def _said_of_open(options: "Options", directory: Path, ledger: "Ledger") -> dict[int, str]:
    """Return what the vendor says of each open batch; ask for missing bills and jobs that were made twice, too."""
    from hilbertune.hardware.provider import NotThereError
    from hilbertune.hardware.settling import to_look_for

    opened, said, finished = list(ledger.open_batches()), {}, to_look_for(ledger)
    if not (opened or finished or ledger.unbilled()):
        return {}
    try:
        executor = options.executor(directory, say=say)
        for batch in opened:
            if batch.job is None:
                said[batch.number] = "may have been sent: resume looks for it"
                continue
            try:
                said[batch.number] = executor.provider.status(batch.job)[1]
            except NotThereError as error:
                said[batch.number] = str(error).rstrip(".")
        executor.ask_for_bills()
        executor.look_for_extras([*(b.hash for b in opened), *finished])
    except HilbertuneError as error:
        say(f"The vendor cannot be asked now: {error}")
    return said


def _ask_for_bills(made: "MeasuredRun", reader: "HardwareBackend") -> None:
    """Ask for bills that are missing, if the vendor can be asked: results do not wait for them."""
    if reader.ledger.unbilled():
        try:
            made.options.executor(made.folder, say=say).ask_for_bills()
        except HilbertuneError as error:
            say(f"The bills that are missing cannot be asked for now: {error}")


def _embedded(model: str, labelled: "Labelled", device: str) -> "tuple[HybridEstimator, np.ndarray]":
    """Return the model, and the vectors of the rows."""
    from hilbertune.estimator.directory import load_pretrained

    loaded = load_pretrained(model, device=device)
    return loaded, embed_for(loaded, labelled)


def _read(model: str, data: Path, columns: TestColumns, rows: int | None) -> "Labelled":
    """Return the rows to measure, read as the model's task requires."""
    labelled = read_rows(data, columns, task=task_of(check_model(model)))
    return labelled if rows is None else first_rows(labelled, rows)


def _priced(options: "Options") -> Any:
    """Return a provider to ask for prices; a published formula needs no account."""
    if options.pricing == "vendor" or options.backend == "local":
        return options.provider(say)
    from hilbertune.hardware.provider import Unreachable

    return Unreachable(options.backend, options.gateset)


def _finish(made: "MeasuredRun", executor: "HardwareBackend", json_: bool) -> None:
    """Measure what is left, then compare."""
    from hilbertune.hardware.picture import draw_hardware
    from hilbertune.hardware.results import totals, write_results

    measured = made.by_member(executor.expectations(made.bound_circuits))
    figures = write_results(made, measured, totals(executor.ledger))
    try:
        draw_hardware(figures, made.exact, measured, made.folder / "picture.png")
    except MissingExtraError:
        say("No picture: pip install 'hilbertune[plot]'.")
    if json_:
        print_json({**figures, "out": str(made.folder)})
    else:
        _print(figures, made.folder)


def _print(figures: dict[str, Any], folder: Path) -> None:
    if "members" in figures:
        print(f"The averaged answers of {figures['members']} heads on {figures['rows']:,} rows:")
    for name, own in figures["methods"].items():
        if "accuracy" in own:
            a = own["accuracy"]
            print(f"{name:>12}: accuracy {a['mean']:.4f} (95 % interval {a['low']:.4f} to {a['high']:.4f})")
        else:
            print(f"{name:>12}: " + ", ".join(f"{k} {value_text(v)}" for k, v in own["metrics"].items()))
    error, spent = figures["expectation_error"], figures["ledger"]
    print(
        f"Expectations differ from the exact ones by {error['root_mean_square']:.4f} "
        f"(root mean square; shots alone: {error['from_shots_alone']:.4f})."
    )
    billed = "unknown" if spent["billed"] is None else f"{spent['billed']:.2f}"
    if spent["billed"] is not None and spent["jobs_without_bill"]:
        billed += f" so far ({spent['jobs_without_bill']} jobs without a bill yet)"
    print(
        f"{spent['circuits']} circuits, {spent['shots']} shots, estimated {spent['estimated']:.2f}, billed {billed}. "
        f"Saved: {folder}"
    )
    for sentence in of_extras(spent, folder):
        print(sentence)
