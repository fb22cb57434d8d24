"""The verbs of `hilbertune qpu`: backends, estimate, run, resume, status, cancel, results.

In: a model and labelled rows, or a run directory.
Out: prices before anything is sent, and results that survive whatever happens to this process.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hilbertune.cli.flags import Device, Json, ModelArgument, TestColumns, TestData, with_records
from hilbertune.cli.output import print_json, say
from hilbertune.cli.places import check_model, check_place, check_run, task_of
from hilbertune.cli.rows import classes_of, embed_for, first_rows, read_rows
from hilbertune.cli.spending import allowed, confirmed, in_words
from hilbertune.errors import HilbertuneError, MissingExtraError

if TYPE_CHECKING:
    from hilbertune.data.files import Labelled
    from hilbertune.hardware.backend import HardwareBackend
    from hilbertune.hardware.measurement import MeasuredRun
    from hilbertune.hardware.options import Options

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
    typer.Option(min=0, help="Spend no more than this; if it is enough, no question is asked."),
]
Seed = Annotated[int, typer.Option(help="Seed of a simulator's noise and shots.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Send failed batches again.")]
SentAs = Annotated[
    str | None,
    typer.Option(help="The vendor's id of a job that may have been sent, if it cannot be looked up."),
]
NotSent = Annotated[
    bool, typer.Option("--not-sent", help="You have looked: the job that may have been sent does not exist.")
]


@dataclass(frozen=True)
class Measuring:
    """The way rows are measured: where, how often, and with which corrections."""

    backend: Backend = "simulator"
    shots: Annotated[int, typer.Option(min=1, help="Shots for each row.")] = 1024
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

    def scales(self) -> tuple[int, ...]:
        """Return the factors by which the noise is scaled.

        Raises:
            HilbertuneError: they are not whole numbers.
        """
        try:
            return tuple(int(part) for part in self.noise_scales.split(","))
        except ValueError:
            raise HilbertuneError(f"--noise-scales takes odd numbers such as 1,3, not {self.noise_scales!r}.") from None

    def options(self, seed: int = 0) -> "Options":
        """Return the options of a run."""
        from hilbertune.hardware.options import Options

        same = ("backend", "shots", "noise", "gateset", "debiasing", "readout", "pricing", "batch_circuits")
        return Options(**{name: getattr(self, name) for name in same}, scales=self.scales(), seed=seed)


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

    known = IonQ("simulator").backends()
    if json_:
        print_json({"backends": known})
        return
    for one in known:
        queue = one.get("average_queue_time")
        waits = "" if not queue else f", about {queue / 60_000:.0f} minutes to wait"
        print(f"{one['backend']:24} {one.get('qubits')!s:>4} qubits, {one.get('status')}{waits}")


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
    import tempfile

    measuring.scales()
    labelled = _read(model, data, columns, rows)
    from hilbertune.estimator.directory import load_pretrained
    from hilbertune.hardware.measurement import bind_rows
    from hilbertune.hardware.results import of_members

    options = measuring.options()
    loaded = load_pretrained(model, device=device)
    vectors = embed_for(loaded, labelled)
    circuits, members = bind_rows(loaded, vectors), loaded.head_.members
    with tempfile.TemporaryDirectory() as folder:
        expected = options.executor(Path(folder), _priced(options)).estimate(circuits)
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
    measuring.scales()
    labelled = _read(model, data, columns, rows)
    from hilbertune.data.labels import label_targets
    from hilbertune.estimator.directory import load_pretrained
    from hilbertune.hardware.measurement import create_run

    options = measuring.options(seed)
    provider = options.provider()
    loaded = load_pretrained(model, device=device)
    truth = label_targets(labelled.labels, classes_of(loaded), loaded.task_)
    vectors = embed_for(loaded, labelled)
    qubits, width = provider.qubits(), loaded.head_.config.qubits
    if qubits is not None and width > qubits:
        raise HilbertuneError(
            f"The head has {width} qubits, but {provider.name} has only {qubits}: use another backend."
        )
    made = create_run(out, loaded, vectors, truth, options)
    executor = options.executor(out, provider, say=say)
    expected = executor.estimate(made.bound_circuits)
    say(in_words(expected, len(vectors), made.members, len(options.scales)))
    executor.max_cost = allowed(expected, max_cost)
    if (waits := provider.ready()) is not None:
        say(waits)
    _finish(made, executor, json_)


@app.command()
def resume(
    directory: Directory,
    max_cost: MaxCost = None,
    retry_failed: RetryFailed = False,
    sent_as: SentAs = None,
    not_sent: NotSent = False,
    json_: Json = False,
) -> None:
    """Resume a run: adopt what was sent, send what was not, keep what is there.

    Example: hilbertune qpu resume r
    """
    check_run(directory)
    from hilbertune.hardware.measurement import read_run

    made = read_run(directory)
    executor = made.options.executor(directory, say=say, retry_failed=retry_failed)
    if sent_as is not None or not_sent:
        executor.settle_by_hand(None if not_sent else sent_as)
    left = executor.estimate(made.bound_circuits).cost - sum(
        b.cost or 0.0 for b in executor.ledger.batches() if b.state in ("sent", "done", "sending")
    )
    if left > 1e-9 and max_cost is None:
        spent = executor.ledger.committed()
        executor.max_cost = spent + confirmed(f"Spend {left:.2f} more", left)
    else:
        executor.max_cost = max_cost
    _finish(made, executor, json_)


@app.command()
def status(directory: Directory, json_: Json = False) -> None:
    """Show what the ledger of a run says, and what the vendor says of its open batches.

    Example: hilbertune qpu status r
    """
    check_run(directory)
    from hilbertune.hardware.measurement import read_run
    from hilbertune.hardware.results import of_members, totals

    made = read_run(directory)
    executor = made.options.executor(directory)
    said = {}
    for batch in executor.ledger.open_batches():
        if batch.job is not None:
            said[batch.number] = executor.provider.status(batch.job)[1]
        else:
            said[batch.number] = "may have been sent: resume looks for it"
    batches = executor.ledger.batches()
    if json_:
        print_json(
            {
                **of_members(made.members),
                **totals(batches),
                "jobs": [{**vars(b), "vendor": said.get(b.number)} for b in batches],
            }
        )
        return
    if made.members > 1:
        print(f"{made.members} heads x {len(made.truth):,} rows")
    for b in batches:
        job = f", job {b.job}" if b.job else ""
        why = said.get(b.number) or b.error
        print(f"batch {b.number}: {b.state}, {b.circuits} circuits x {b.shots} shots{job}{f' ({why})' if why else ''}")


@app.command()
def cancel(directory: Directory, json_: Json = False) -> None:
    """Cancel the batches that are open at the vendor; results that have come in stay.

    Example: hilbertune qpu cancel r
    """
    check_run(directory)
    from hilbertune.hardware.measurement import read_run

    executor = read_run(directory).options.executor(directory)
    numbers = executor.cancel()
    if json_:
        print_json({"cancelled": numbers})
    else:
        print(f"Cancelled: {len(numbers)} of {len(executor.ledger.batches())} batches.")


@app.command()
def results(directory: Directory, json_: Json = False) -> None:
    """Show the accuracy on hardware beside exact simulation and the noise model, from what the ledger holds.

    Example: hilbertune qpu results r
    """
    check_run(directory)
    from hilbertune.hardware.measurement import read_run

    made = read_run(directory)
    executor = made.options.executor(directory)
    executor.offline = True
    _finish(made, executor, json_)


def _read(model: str, data: Path, columns: TestColumns, rows: int | None) -> "Labelled":
    """Return the rows to measure, read as the model's task requires."""
    labelled = read_rows(data, columns, task=task_of(check_model(model)))
    return labelled if rows is None else first_rows(labelled, rows)


def _priced(options: "Options") -> Any:
    """Return a provider to ask for prices; a published formula needs no account."""
    if options.pricing == "vendor" or options.backend == "local":
        return options.provider()
    from hilbertune.hardware.provider import Unreachable

    return Unreachable(options.backend, options.gateset)


def _finish(made: "MeasuredRun", executor: "HardwareBackend", json_: bool) -> None:
    """Measure what is left, then compare."""
    from hilbertune.hardware.picture import draw_hardware
    from hilbertune.hardware.results import totals, write_results

    measured = made.by_member(executor.expectations(made.bound_circuits))
    figures = write_results(made, measured, totals(executor.ledger.batches()))
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
            print(f"{name:>12}: " + ", ".join(f"{k} {v:.4f}" for k, v in own["metrics"].items()))
    error, spent = figures["expectation_error"], figures["ledger"]
    print(
        f"Expectations differ from the exact ones by {error['root_mean_square']:.4f} "
        f"(root mean square; shots alone: {error['from_shots_alone']:.4f})."
    )
    billed = "unknown" if spent["billed"] is None else f"{spent['billed']:.2f}"
    print(
        f"{spent['circuits']} circuits, {spent['shots']} shots, estimated {spent['estimated']:.2f}, billed {billed}. "
        f"Saved: {folder}"
    )
