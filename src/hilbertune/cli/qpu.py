"""Verbs of `hilbertune qpu`: backends, estimate, run, status, resume, cancel, results.

In: a model and labelled rows, or a run directory. Out: prices before anything is sent, and results that survive whatever happens to this process.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hilbertune.cli.flags import DataSplit, Device, Json, Label, Text, TextPair
from hilbertune.cli.output import check_place, print_json, progress_bars, say
from hilbertune.cli.rows import embed_rows, read_rows, targets_like
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    import numpy as np

    from hilbertune.hardware.backend import HardwareBackend
    from hilbertune.hardware.measurement import MeasuredRun
    from hilbertune.hardware.options import Options
    from hilbertune.hardware.pricing import Estimate


app = typer.Typer(
    name="qpu",
    help="Run a trained head on quantum hardware: estimate, run, resume.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


Model = Annotated[str, typer.Argument(help="Model directory.")]


Data = Annotated[Path, typer.Argument(help="Labelled data: texts, or an .npz of embeddings.")]


Directory = Annotated[Path, typer.Argument(help="Run directory.")]


Backend = Annotated[
    str,
    typer.Option(
        help="simulator (IonQ's, free), qpu.forte-1, qpu.forte-enterprise-1, ibm:NAME, braket:NAME; without an account: local (Aer), ibm:fake_manila, braket:local."
    ),
]


Shots = Annotated[int, typer.Option(min=1, help="Shots for each row.")]


Rows = Annotated[int | None, typer.Option(min=1, help="Measure the first so many rows only.")]


NoiseName = Annotated[
    str | None,
    typer.Option(help="Noise model of simulator or local: aria-1, aria-2, forte-1."),
]


GateSetName = Annotated[
    Literal["qis", "native"],
    typer.Option(help="qis: the vendor compiles. native: our compilation is run as it is."),
]


Debiasing = Annotated[bool, typer.Option("--debiasing", help="The vendor's error mitigation (500 shots or more).")]


Readout = Annotated[
    bool,
    typer.Option("--readout", help="Undo readout errors, measured with two more circuits."),
]


Scales = Annotated[
    str,
    typer.Option("--noise-scales", help="Zero-noise extrapolation, such as 1,3: so many times the shots."),
]


PricingName = Annotated[
    Literal["vendor", "azure", "braket", "free"],
    typer.Option(help="vendor: live estimate. azure, braket: published formulas. free: a plan that bills no jobs."),
]


MaxCost = Annotated[
    float | None,
    typer.Option(min=0, help="Spend no more than this; needs no confirmation if it is enough."),
]


Batch = Annotated[int | None, typer.Option(min=1, help="Circuits of one job at most.")]


Seed = Annotated[int, typer.Option(help="Seed of a simulator's noise and shots.")]


@app.command()
def backends(json_: Json = False) -> None:
    """List IonQ's backends: qubits, state, queue.

    Example: hilbertune qpu backends
    """
    from hilbertune.hardware.ionq import IonQ

    found = IonQ("simulator").backends()
    if json_:
        print_json({"backends": found})
        return
    for one in found:
        queue = one.get("average_queue_time")
        waits = "" if not queue else f", about {queue / 60_000:.0f} minutes to wait"
        print(f"{one['backend']:24} {one.get('qubits')!s:>4} qubits, {one.get('status')}{waits}")


@app.command()
def estimate(
    model: Model,
    data: Data,
    backend: Backend = "qpu.forte-1",
    shots: Shots = 1024,
    rows: Rows = None,
    noise: NoiseName = None,
    gateset: GateSetName = "qis",
    debiasing: Debiasing = False,
    readout: Readout = False,
    noise_scales: Scales = "1",
    pricing: PricingName = "vendor",
    batch_circuits: Batch = None,
    text: Text = "text",
    text_pair: TextPair = None,
    label: Label = "label",
    split: DataSplit = "test",
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Say what a run would take: circuits, gates, shots, price, time. Nothing is sent.

    Example: hilbertune qpu estimate model test.csv --backend qpu.forte-1 --pricing azure
    """
    import tempfile

    options = _options(**locals())
    loaded, vectors, _ = _prepared(model, data, text, text_pair, label, split, device, rows, labelled=False)
    from hilbertune.hardware.measurement import programs_of

    programs, _ = programs_of(loaded, vectors)
    with tempfile.TemporaryDirectory() as folder:
        executor = options.executor(Path(folder), _priced(options))
        found = executor.estimate(programs)
    if json_:
        print_json({**vars(found), "energy_joules": None})
    else:
        print(_words(found))


@app.command()
def run(
    model: Model,
    data: Data,
    out: Annotated[Path, typer.Option(help="New run directory.")],
    backend: Backend = "simulator",
    shots: Shots = 1024,
    rows: Rows = None,
    noise: NoiseName = None,
    gateset: GateSetName = "qis",
    debiasing: Debiasing = False,
    readout: Readout = False,
    noise_scales: Scales = "1",
    pricing: PricingName = "vendor",
    max_cost: MaxCost = None,
    batch_circuits: Batch = None,
    seed: Seed = 0,
    text: Text = "text",
    text_pair: TextPair = None,
    label: Label = "label",
    split: DataSplit = "test",
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Measure a test set on hardware: estimate, confirm, send, wait, compare.

    Example: hilbertune qpu run model test.csv --rows 50 --backend local --noise forte-1 --out r

    Example: hilbertune qpu run model test.csv --backend qpu.forte-1 --max-cost 500 --out r
    """
    from hilbertune.hardware import measurement as qpu

    check_place(out)
    options = _options(**locals())
    provider = options.provider()
    loaded, vectors, truth = _prepared(model, data, text, text_pair, label, split, device, rows)
    qubits, width = provider.qubits(), loaded.head_.config.qubits
    if qubits is not None and width > qubits:
        raise HilbertuneError(f"The head has {width} qubits, {provider.name} has {qubits}: use another backend.")
    made = qpu.create_run(out, loaded, vectors, truth, options)
    executor = options.executor(out, provider, say=say)
    found = executor.estimate(made.programs())
    say(_words(found))
    executor.max_cost = _allowed(found, max_cost)
    if (waits := provider.ready()) is not None:
        say(waits)
    _finish(made, executor, json_)


@app.command()
def resume(
    directory: Directory,
    max_cost: MaxCost = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Send batches again that failed.")] = False,
    sent_as: Annotated[
        str | None,
        typer.Option(help="The vendor's id of the job that was perhaps sent, where it cannot be looked for."),
    ] = None,
    not_sent: Annotated[
        bool,
        typer.Option("--not-sent", help="You looked: the job that was perhaps sent is not there."),
    ] = False,
    json_: Json = False,
) -> None:
    """Go on with a run: adopt what was sent, send what was not, keep what is there.

    Example: hilbertune qpu resume r
    """
    from hilbertune.hardware import measurement as qpu

    made = qpu.read_run(directory)
    executor = made.options.executor(directory, say=say, retry_failed=retry_failed)
    if sent_as is not None or not_sent:
        executor.settle_by_hand(None if not_sent else sent_as)
    left = executor.estimate(made.programs()).cost - sum(
        b.cost or 0.0 for b in executor.ledger.batches() if b.state in ("sent", "done", "sending")
    )
    if left > 1e-9 and max_cost is None:
        spent = executor.ledger.committed()
        executor.max_cost = spent + _asked(f"Spend {left:.2f} more", left)
    else:
        executor.max_cost = max_cost
    _finish(made, executor, json_)


@app.command()
def status(directory: Directory, json_: Json = False) -> None:
    """What the ledger of a run says, and the vendor of what is open.

    Example: hilbertune qpu status r
    """
    from hilbertune.hardware import measurement, results

    made = measurement.read_run(directory)
    executor = made.options.executor(directory)
    said = {}
    for batch in executor.ledger.open_batches():
        if batch.job is not None:
            said[batch.number] = executor.provider.status(batch.job)[1]
        else:
            said[batch.number] = "was perhaps sent: resume looks for it"
    found = executor.ledger.batches()
    if json_:
        print_json(
            {
                **results.totals(found),
                "jobs": [{**vars(b), "vendor": said.get(b.number)} for b in found],
            }
        )
        return
    for b in found:
        job = f", job {b.job}" if b.job else ""
        why = said.get(b.number) or b.error or ""
        print(f"batch {b.number}: {b.state}, {b.circuits} circuits x {b.shots} shots{job}{why and f' ({why})'}")  # fmt: skip


@app.command()
def cancel(directory: Directory, json_: Json = False) -> None:
    """Cancel what is open at the vendor; results that are there stay.

    Example: hilbertune qpu cancel r
    """
    from hilbertune.hardware import measurement as qpu

    made = qpu.read_run(directory)
    executor = made.options.executor(directory)
    numbers = executor.cancel()
    if json_:
        print_json({"cancelled": numbers})
    else:
        print(f"Cancelled: {len(numbers)} of {len(executor.ledger.batches())} batches.")


@app.command()
def results(directory: Directory, json_: Json = False) -> None:
    """Accuracy on hardware beside exact simulation and the noise model, from what the ledger holds.

    Example: hilbertune qpu results r
    """
    from hilbertune.hardware import measurement as qpu

    made = qpu.read_run(directory)
    executor = made.options.executor(directory)
    executor.offline = True
    _finish(made, executor, json_)


def _options(**given: Any) -> "Options":
    from hilbertune.hardware.options import Options

    try:
        scales = tuple(int(part) for part in given["noise_scales"].split(","))
    except ValueError:
        raise HilbertuneError(f"--noise-scales takes odd numbers such as 1,3, not {given['noise_scales']!r}.") from None
    names = ("backend", "shots", "noise", "gateset", "debiasing", "readout", "pricing")
    return Options(
        **{name: given[name] for name in names},
        batch_circuits=given["batch_circuits"],
        scales=scales,
        seed=given.get("seed", 0),
    )


def _priced(options: "Options") -> Any:
    """A provider to ask for prices; a published formula needs no account."""
    if options.pricing == "vendor" or options.backend == "local":
        return options.provider()
    from hilbertune.hardware.provider import Unreachable

    return Unreachable(options.backend, options.gateset)


def _prepared(
    model: str,
    data: Path,
    text: str,
    text_pair: str | None,
    label: str,
    split: str,
    device: str,
    rows: int | None,
    *,
    labelled: bool = True,
) -> "tuple[Any, np.ndarray, np.ndarray]":
    """The model, the embeddings and the targets of the rows."""
    import dataclasses

    import numpy as np

    from hilbertune.estimator.directory import load_pretrained
    from hilbertune.runtime.storage import cache_root

    loaded = load_pretrained(model, device=device)
    task = loaded.task_
    found = read_rows(data, None, text, label, split, text_pair=text_pair, task=task)
    if rows is not None:
        found = dataclasses.replace(
            found,
            labels=found.labels[:rows],
            texts=None if found.texts is None else found.texts[:rows],
            embeddings=None if found.embeddings is None else found.embeddings[:rows],
        )
    classes = np.asarray(getattr(loaded, "classes_", [])).tolist()
    truth = targets_like(found.labels, classes, task) if labelled else np.zeros(0)
    if found.texts is None:
        return loaded, loaded.embed(found.embeddings), truth
    embedder = loaded.embedder()
    embedder.cache = cache_root()
    with progress_bars() as progress:
        return loaded, embed_rows(found, embedder, progress), truth


def _words(found: "Estimate") -> str:
    time = "" if found.seconds is None else f", {found.seconds:.0f} s on the device"
    queue = "" if not found.queue_seconds else f", {found.queue_seconds / 60:.0f} minutes of queue"
    return (
        f"{found.circuits} circuits in {found.batches} job(s), {found.shots} shots; {found.one_qubit_gates} one-qubit and {found.two_qubit_gates} two-qubit gates; "
        f"{found.cost:.2f} {found.unit} ({found.source}){time}{queue}; energy: not known before the run."
    )


def _allowed(found: "Estimate", max_cost: float | None) -> float:
    """The spending limit; asks where none was given.

    Raises:
        HilbertuneError: the estimate is higher than the limit, or nobody confirmed.
    """
    if max_cost is None:
        return _asked(f"Spend {found.cost:.2f} {found.unit}", found.cost)
    if found.cost > max_cost:
        raise HilbertuneError(
            f"The estimate of {found.cost:.2f} {found.unit} is above --max-cost {max_cost:.2f}: use fewer rows or shots, or raise it, then 'hilbertune qpu resume'."
        )
    return max_cost


def _asked(question: str, cost: float) -> float:
    if not cost:
        return 0.0
    if not sys.stdin.isatty():
        raise HilbertuneError(
            f"{question}? Nobody can confirm here: give --max-cost {cost:.2f} or more to 'hilbertune qpu resume'."
        )
    say(f"{question}? Type yes to go on:")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise HilbertuneError("Not confirmed: nothing was sent; 'hilbertune qpu resume' asks again.")
    return cost


def _finish(made: "MeasuredRun", executor: "HardwareBackend", json_: bool) -> None:
    """Measure what is left, then compare."""
    from hilbertune.errors import MissingExtraError
    from hilbertune.hardware import picture as drawing
    from hilbertune.hardware import results as qpu

    measured = executor.expectations(made.programs())
    figures = qpu.write_results(made, measured, qpu.totals(executor.ledger.batches()))
    try:
        drawing.draw_hardware(figures, made.exact, measured, made.folder / "picture.png")
    except MissingExtraError:
        say("No picture: pip install 'hilbertune[plot]'.")
    if json_:
        print_json({**figures, "out": str(made.folder)})
        return
    for name, own in figures["methods"].items():
        if "accuracy" in own:
            a = own["accuracy"]
            print(f"{name:>12}: accuracy {a['mean']:.4f} (95 % interval {a['low']:.4f} to {a['high']:.4f})")  # fmt: skip
        else:
            print(f"{name:>12}: " + ", ".join(f"{k} {v:.4f}" for k, v in own["metrics"].items()))
    error, spent = figures["expectation_error"], figures["ledger"]
    print(
        f"Expectations differ from the exact ones by {error['root_mean_square']:.4f} (root mean square; shots alone: {error['from_shots_alone']:.4f})."
    )
    bill = spent["billed"]
    print(
        f"{spent['circuits']} circuits, {spent['shots']} shots, estimated {spent['estimated']:.2f}, billed {'unknown' if bill is None else f'{bill:.2f}'}. Saved: {made.folder}"
    )
