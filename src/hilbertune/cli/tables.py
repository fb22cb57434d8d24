"""Figures for people: tables and lines on stdout.

In: the figures of a fit, an estimate or a study.
Out: printed text, at most 80 columns wide where names allow.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hilbertune.cli.output import literal
from hilbertune.cli.progress import duration
from hilbertune.config.sizes import LEAST_SEEDS
from hilbertune.runtime.escaping import visible


def print_figures(figures: Mapping[str, Any], seconds: float) -> None:
    """Print the methods of a fit, how long the command took in all, and where its model was saved."""
    if figures["table"]:
        _methods(figures)
        _more(figures["table"])
    if figures["validation_accuracy"] is not None:
        print(f"Validation accuracy {figures['validation_accuracy']['mean']:.4f}")
    print(f"{figures['parameters']} parameters, {seconds:.1f} s in all")
    why = "the best on validation" if figures["rows"]["validation"] else "the first, as nothing was validated"
    print(f"Saved: {figures['out']} (seed {figures['saved_seed']}, {why})")


def _methods(figures: Mapping[str, Any]) -> None:
    """Print score, interval, parameters and seconds of each method."""
    seeds, rows = len(figures["seeds"]), figures["rows"]
    regression = "accuracy" not in figures["table"][0]
    score = "R²" if regression else "accuracy"
    cells = []
    for row in figures["table"]:
        summary = row["metrics"]["r2"] if regression else row["accuracy"]
        parameters, seconds = str(row["parameters"]), f"{row['seconds'] * seeds:.2f}"
        cells.append((row["method"], value_text(summary and summary["mean"]), _interval(summary), parameters, seconds))
    print(
        f"Test {score} over {seeds} seed{'s' * (seeds > 1)} ({rows['train']} rows to train, "
        f"{rows['validation']} to validate, {rows['test']} to test; seconds are those of training "
        f"{'all seeds' if seeds > 1 else 'it'}):"
    )
    shown = [0, 1, 3, 4] if all(one[2] == "" for one in cells) else range(5)
    names = ("method", score, "95 % interval", "parameters", "seconds")
    print_table([names[i] for i in shown], [[one[i] for i in shown] for one in cells])
    if seeds < LEAST_SEEDS:
        few = "One seed gives" if seeds == 1 else f"{seeds} seeds give"
        print(f"{few} no interval: use --seeds {LEAST_SEEDS} or more.")
    metrics = [row["metrics"] for row in figures["table"]]
    print_undefined([name for name in metrics[0] if any(one.get(name, 0) is None for one in metrics)])


def value_text(value: float | None) -> str:
    """Return a metric with four digits."""
    return "undefined" if value is None else f"{value:.4f}"


def print_undefined(names: Iterable[str]) -> None:
    """Print for each metric that has no value what the test rows lack."""
    from hilbertune.model.tasks import NEEDS

    for name in names:
        word = "R²" if name == "r2" else name.replace("_", " ")
        print(f"{word} is undefined: it needs {NEEDS.get(name, 'finite answers')} in the test set.")


def _console() -> Any:
    """Return a console that leaves it to the command what happens when the reader of its output leaves."""
    from rich.console import Console

    def reader_left() -> None:
        raise BrokenPipeError

    console = Console()
    console.on_broken_pipe = reader_left  # type: ignore[method-assign]
    return console


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[str] = ()) -> Any:
    """Return a table, narrow enough for 80 columns; its first column, never cut, and those of words are on the left."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in names:
        first = name == names[0]
        table.add_column(
            literal(name), justify="left" if first or name in words else "right", no_wrap=first and len(words) > 0
        )
    for row in rows:
        table.add_row(*map(literal, row))
    return table


def _interval(summary: Mapping[str, Any] | None) -> str:
    """Return the ends of an interval, "" if there is none."""
    return "" if summary is None or summary["low"] is None else f"{summary['low']:.4f} to {summary['high']:.4f}"


_ENERGY = {
    "joules_per_training": "J a training",
    "joules_per_1000_predictions": "J per 1000",
    "joules_per_correct_prediction": "J per correct",
}
"""What was metered, as the heads of columns."""


def _more(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the other metrics of each method, and the joules where some were metered, a column each."""
    columns: dict[str, list[str]] = {}
    for name in rows[0]["metrics"]:
        if not name.endswith("accuracy") and name != "r2":
            values = [row["metrics"].get(name) for row in rows]
            columns[name.replace("_", " ")] = [value_text(v and v["mean"]) for v in values]
    for name, head in _ENERGY.items():
        joules = [row["energy"][name] for row in rows]
        if any(v is not None for v in joules):
            columns[head] = ["not measured" if v is None else f"{v:.3g}" for v in joules]
    if columns:
        methods = [row["method"] for row in rows]
        print_table(("method", *columns), zip(methods, *columns.values(), strict=True))


def print_table(names: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[str] = ()) -> None:
    """Print a table, its first column and those of words on the left."""
    _console().print(_table(names, rows, words))


def print_expected(expected: Mapping[str, Any]) -> None:
    """Print what a study would take."""
    time = duration(expected["seconds"])
    counts = expected["parameters"].items()
    cells = [(name, str(expected["trials"][name]), "" if count is None else str(count)) for name, count in counts]
    print_table(("arm", "trials", "parameters"), cells)
    print(
        f"{expected['runs']} runs, {expected['missing']} of them missing, in {expected['blocks']} blocks: "
        f"about {time} on this machine (within a factor of 2), {expected['bytes'] / 1e6:.1f} MB. "
        f"Up to {expected['largest_block']} runs train side by side, "
        f"which takes about {expected['block_bytes'] / 1e6:.0f} MB of memory."
    )


def print_study(results: Mapping[str, Any], place: Path) -> None:
    """Print the arms of a study, what their comparisons say, and where the report is."""
    console = _console()
    names = ("arm", "accuracy", "95 % interval", "parameters", "seeds")
    console.print(_table(names, [_arm_cells(arm) for arm in results["arms"]]))
    lines = [compared["sentence"] for compared in results["comparisons"]]
    for name, search in (results["search"] or {}).items():
        lines += _search_lines(name, search)
    lines += [f"Failed: {f['arm']}, seed {f['seed']}: {f['error']}" for f in results["failures"]]
    for line in lines:
        console.print(visible(line), highlight=False, markup=False)
    print(f"Report: {place}")


def _arm_cells(arm: Mapping[str, Any]) -> tuple[str, ...]:
    summary = arm["summary"] or {"mean": None, "low": None, "high": None}
    return (
        arm["name"],
        "failed" if summary["mean"] is None else f"{summary['mean']:.4f}",
        _interval(summary) or (f"needs {LEAST_SEEDS} seeds" if 0 < len(arm["seeds"]) < LEAST_SEEDS else ""),
        "" if arm["parameters"] is None else f"{arm['parameters']:.0f}",
        str(len(arm["seeds"])),
    )


def _search_lines(name: str, search: Mapping[str, Any]) -> list[str]:
    counts = ", ".join(f"{search[k]} {k}" for k in ("complete", "pruned", "failed"))
    lines = [f"Trials of {name}: {counts}."]
    for best in search["best"][:10]:
        objectives = zip(search["objectives"], best["values"], strict=True)
        words = ", ".join(f"{k} {v:.4g}" for k, v in objectives)
        settings = (f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in best["settings"].items())
        lines.append(f"  {words}: {', '.join(settings)}")
    return lines
