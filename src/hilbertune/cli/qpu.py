"""The verbs of `hilbertune qpu`: backends, estimate, run, resume, list, status, cancel, results.

In: a model and labelled rows, or a run directory.
Out: prices before anything is sent, and results that survive whatever happens to this process.
"""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilbertune.cli.flags import Device, Json, ModelArgument, TestColumns, TestData, with_records
from hilbertune.cli.measuring import (
    Accept,
    Budget,
    Directory,
    Estimating,
    Extra,
    MaxCost,
    Measuring,
    NewDirectory,
    NotSent,
    NoWait,
    Number,
    RetryFailed,
    Rows,
    Seed,
    SentAs,
    as_typed,
)
from hilbertune.cli.output import print_json, say
from hilbertune.cli.places import check_model, check_place, check_run, task_of
from hilbertune.cli.rows import Sample, classes_of, embed_for, read_rows, sample_rows
from hilbertune.cli.runs import print_results, print_runs, print_state
from hilbertune.cli.spending import allowed, confirmed, duration, in_words, money, plan_in_words
from hilbertune.errors import HilbertuneError, MissingExtraError
from hilbertune.runtime.escaping import visible

if TYPE_CHECKING:
    import numpy as np

    from hilbertune.data.files import Labelled
    from hilbertune.estimator.base import HybridEstimator
    from hilbertune.hardware.backend import HardwareBackend
    from hilbertune.hardware.budget import Plan
    from hilbertune.hardware.ledger import Ledger
    from hilbertune.hardware.measurement import MeasuredRun
    from hilbertune.hardware.options import Options
    from hilbertune.hardware.provider import Provider

app = typer.Typer(
    name="qpu",
    help="Run a trained head on quantum hardware: estimate, run, resume.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


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
    budget: Budget = None,
    seed: Seed = 0,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Say what a run would take: price, time, circuits, gates. Nothing is sent.

    Each head of an ensemble measures each row, and all of them are counted.

    Example: hilbertune qpu estimate model test.csv --rows 50 --pricing azure

    Example: hilbertune qpu estimate model test.csv --budget 500 --pricing braket
    """
    options = measuring.options(seed)
    labelled = read_rows(data, columns, task=task_of(check_model(model)))
    sample = _sample(model, labelled, rows, seed)
    from hilbertune.hardware.measurement import bind_rows
    from hilbertune.hardware.outlook import NOWHERE, outlook
    from hilbertune.hardware.results import of_members

    provider, count = _priced(options), len(sample.places)
    outlook(check_model(model), count, options, provider)  # refuses what no embedding would mend
    loaded, vectors = _embedded(model, sample.labelled, device)
    circuits, members = bind_rows(loaded, vectors), loaded.head_.members
    expected = options.executor(NOWHERE, provider).estimate(circuits)
    found = None if budget is None else _plan(loaded, labelled, options, provider, budget, count)
    if json_:
        about = {"rows": count, "cost_per_row": expected.cost / count, "energy_joules": None}
        fits = {} if found is None else {"budget": found.to_dict()}
        print_json({**of_members(members), **vars(expected), **about, **fits})
        return
    print(in_words(expected, count, members, len(options.scales)))
    if found is not None:
        typed = as_typed(measuring, without=("backend", "shots")) + as_typed(columns, without=())
        command = f"hilbertune qpu run {quote(model)} {quote(str(data))} --backend {options.backend}{typed}"
        print(plan_in_words(found, options, count, sample.of, command))


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
    no_wait: NoWait = False,
    seed: Seed = 0,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Measure a test set on hardware: estimate, confirm, send, wait, compare.

    Example: hilbertune qpu run model test.csv --rows 50 --backend local --noise forte-1 --out r

    Example: hilbertune qpu run model test.csv --rows 50 --backend qpu.forte-1 --max-cost 650 --no-wait --out r
    """
    check_place(out)
    options = measuring.options(seed)
    sample = _sample(model, read_rows(data, columns, task=task_of(check_model(model))), rows, seed)
    from hilbertune.data.labels import label_targets
    from hilbertune.hardware.measurement import create_run
    from hilbertune.hardware.outlook import outlook, require_room

    config, provider, count = check_model(model), options.provider(say), len(sample.places)
    if no_wait:
        _require_vendor(options, provider)
    require_room(config, provider)
    _say_waits(provider)
    usual, limit, told = outlook(config, count, options, provider), max_cost, ""
    if sample.labelled.embeddings is None:  # before an hour of embedding
        say(told := in_words(usual, count, config.get("training", {}).get("members", 1), len(options.scales)))
        limit = allowed(usual, max_cost, rows=count)
    loaded, vectors = _embedded(model, sample.labelled, device)
    truth = label_targets(sample.labelled.labels, classes_of(loaded), loaded.task_)
    made = create_run(out, loaded, vectors, truth, options, [place + 1 for place in sample.places])
    executor = options.executor(out, provider, say=say)
    expected = executor.estimate(made.bound_circuits)
    if (words := in_words(expected, count, made.members, len(options.scales))) != told:
        say(words)
    executor.max_cost = allowed(expected, limit, rows=count, folder=out)
    if not (no_wait or getattr(provider, "free", False)):
        say(f"Waiting for results. Ctrl-C leaves the jobs as they are: 'hilbertune qpu resume {out}' collects them.")
    _go_on(made, executor, json_, no_wait=no_wait)


@app.command()
def resume(
    directory: Directory,
    max_cost: MaxCost = None,
    no_wait: NoWait = False,
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
        if no_wait:
            _require_vendor(made.options, executor.provider)
        executor.stays = not no_wait
        executor.owner, groups = reader.owner, executor.groups(made.bound_circuits)
        if settles:
            executor.settle_by_hand(sent_as, batch)
        if accept is not None:
            executor.accept(accept, executor.parts(groups))
        executor.ask_for_bills()
        executor.collect(groups)
        left, unit = executor.remainder(groups)
        if left and max_cost is None:
            spent = executor.ledger.committed()
            executor.max_cost = spent + confirmed(f"Spend {money(left, unit)} more", left, directory, spent=spent)
        else:
            executor.max_cost = max_cost
        _go_on(made, executor, json_, no_wait=no_wait)


@app.command("list")
def list_(
    folder: Annotated[Path, typer.Argument(help="Folder that the run directories are in, at any depth.")] = Path(),
    json_: Json = False,
) -> None:
    """List all runs below a folder: how far each is, and what it cost. No vendor is asked.

    Example: hilbertune qpu list

    Example: hilbertune qpu list runs --json
    """
    from hilbertune.hardware.accounts import entry_of, find_runs, sums

    if not folder.is_dir():
        raise HilbertuneError(f"There is no folder {folder}: name the one that the run directories are in.")
    entries = [entry_of(found) for found in find_runs(folder)]
    entries.sort(key=lambda entry: entry.begun or 0.0)
    totals = sums(entries)
    if json_:
        print_json({"runs": [{**vars(entry), "folder": str(entry.folder)} for entry in entries], "totals": totals})
    elif entries:
        print_runs(entries, totals)
    else:
        print(f"There is no run below {visible(folder.resolve())}: 'hilbertune qpu run' makes one.")


@app.command()
def status(directory: Directory, json_: Json = False) -> None:
    """Show what the ledger of a run says, and what the vendor says of its open batches.

    Example: hilbertune qpu status r
    """
    check_run(directory)
    from hilbertune.hardware.measurement import read_run

    _show_state(read_run(directory), json_)


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


def _sample(model: str, labelled: "Labelled", rows: int | None, seed: int) -> Sample:
    """Return the rows to measure; say how they were drawn."""
    sample = sample_rows(labelled, rows, seed, task_of(check_model(model)))
    if sample.sentence:
        say(sample.sentence)
    return sample


def _plan(
    model: "HybridEstimator", labelled: "Labelled", options: "Options", provider: Any, budget: float, rows: int
) -> "Plan":
    """Return what a budget buys, by a simulation of rows from the whole file."""
    from hilbertune.data.labels import label_targets
    from hilbertune.hardware.budget import SIMULATED, plan

    sample = sample_rows(labelled, SIMULATED, options.seed, model.task_)
    truth = label_targets(sample.labelled.labels, classes_of(model), model.task_)
    vectors = embed_for(model, sample.labelled)
    return plan(model, vectors, truth, options, provider, budget, rows=rows, available=sample.of)


def _priced(options: "Options") -> Any:
    """Return a provider to ask for prices; a published formula needs no account."""
    if options.pricing == "vendor" or options.backend == "local":
        from hilbertune.hardware.address import NoKeyError

        try:
            return options.provider(say)
        except NoKeyError as error:
            raise HilbertuneError(
                f"{str(error).rstrip('.')}; or give --pricing azure or --pricing braket, public lists that need none."
            ) from None
    from hilbertune.hardware.provider import Unreachable

    return Unreachable(options.backend, options.gateset)


def _say_waits(provider: "Provider") -> None:
    """Say why jobs would wait now, and how long they do on average, where the vendor says so."""
    if (waits := provider.ready()) is not None:
        say(waits)
    if (seconds := getattr(provider, "queue_seconds", lambda: None)()) is not None:
        say(f"Jobs on {provider.name} wait {duration(seconds)} on average now (IonQ's list of backends).")


def _require_vendor(options: "Options", provider: "Provider") -> None:
    """Raise HilbertuneError if jobs end with this process, so that nobody can leave."""
    if getattr(provider, "free", False):
        raise HilbertuneError(f"{options.backend} runs on this machine and ends with the command: leave --no-wait out.")


def _go_on(made: "MeasuredRun", executor: "HardwareBackend", json_: bool, *, no_wait: bool) -> None:
    """Send what is not sent; wait for the results and compare them, unless nobody waits and some are not there."""
    executor.stays = not no_wait
    if no_wait:
        groups = executor.groups(made.bound_circuits)
        executor.send_out(groups)
        if not executor.finished(groups):
            _show_state(made, json_)
            return
    _finish(made, executor, json_)


def _show_state(made: "MeasuredRun", json_: bool) -> None:
    """Print how far a run is, by its ledger and by what the vendor says of open batches."""
    from hilbertune.hardware.accounts import rows_done, state_of, totals
    from hilbertune.hardware.folder import read_description
    from hilbertune.hardware.ledger import Ledger
    from hilbertune.hardware.results import of_members

    ledger = Ledger(made.folder / "ledger.sqlite")
    said = _said_of_open(made.options, made.folder, ledger)
    batches, figures, rows = ledger.batches(), totals(ledger), len(made.truth)
    state = {
        **of_members(made.members),
        **figures,
        "out": str(made.folder),
        "state": state_of(batches),
        "rows": rows,
        "cost_per_row": figures["spent"] / rows,
        "rows_done": rows_done(read_description(made.folder), ledger, batches, rows),
        "jobs": [{**vars(b), "vendor": said.get(b.number)} for b in batches],
    }
    if json_:
        print_json(state)
    else:
        print_state(state, made.folder)


def _finish(made: "MeasuredRun", executor: "HardwareBackend", json_: bool) -> None:
    """Measure what is left, then compare."""
    from hilbertune.hardware.accounts import totals
    from hilbertune.hardware.picture import draw_hardware
    from hilbertune.hardware.results import write_results

    measured = made.by_member(executor.expectations(made.bound_circuits))
    figures = write_results(made, measured, totals(executor.ledger))
    try:
        draw_hardware(figures, made.exact, measured, made.folder / "picture.png", made.classes)
    except MissingExtraError:
        say("No picture: pip install 'hilbertune[plot]'.")
    if json_:
        print_json({**figures, "out": str(made.folder)})
    else:
        print_results(figures, made.folder)
