"""Figures for people: tables and lines on stdout.

In: the figures of a fit, an estimate or a study.
Out: printed text, at most 80 columns wide where names allow.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hilbertune.cli.output import literal
from hilbertune.runtime.escaping import visible


def print_figures(figures: Mapping[str, Any]) -> None:
    """Print the methods of a fit and where its model was saved."""
    if figures["table"]:
        _methods(figures)
    _energy_lines(figures["table"])
    if figures["validation_accuracy"] is not None:
        print(f"Validation accuracy {figures['validation_accuracy']['mean']:.4f}")
    print(f"{figures['parameters']} parameters, {figures['seconds']:.1f} s in all")
    why = "the best on validation" if figures["rows"]["validation"] else "the first, as nothing was validated"
    print(f"Saved: {figures['out']} (seed {figures['saved_seed']}, {why})")


def _methods(figures: Mapping[str, Any]) -> None:
    seeds, rows = len(figures["seeds"]), figures["rows"]
    regression = "accuracy" not in figures["table"][0]
    score = "R²" if regression else "accuracy"
    cells = []
    for row in figures["table"]:
        summary = row["metrics"]["r2"] if regression else row["accuracy"]
        interval = "" if summary is None else _interval(summary) or "needs 2 seeds"
        parameters, seconds = str(row["parameters"]), f"{row['seconds']:.2f}"
        cells.append((row["method"], value_text(summary and summary["mean"]), interval, parameters, seconds))
    print(
        f"Test {score} over {seeds} seed{'s' * (seeds > 1)} ({rows['train']} rows to train, "
        f"{rows['validation']} to validate, {rows['test']} to test; seconds are those of one training):"
    )
    _console().print(_table(("method", score, "95 % interval", "parameters", "seconds"), cells))
    _metric_lines(figures["table"])
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


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Any:
    """Return a table whose first column is on the left; narrow enough for 80 columns."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in names:
        table.add_column(name, justify="left" if name == names[0] else "right")
    for row in rows:
        table.add_row(*map(literal, row))
    return table


def _interval(summary: Mapping[str, Any]) -> str:
    """Return the ends of an interval, "" if there is none."""
    return "" if summary["low"] is None else f"{summary['low']:.4f} to {summary['high']:.4f}"


def _metric_lines(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the metrics that are not in the table, a line each with the methods in the order of the table."""
    for name in rows[0]["metrics"]:
        if name.endswith("accuracy") or name == "r2":
            continue
        values = [row["metrics"].get(name) for row in rows]
        shown = ", ".join(value_text(v and v["mean"]) for v in values)
        print(f"{name.replace('_', ' ')}, in the same order: {shown}")


def _energy_lines(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print what was metered, a line each with the methods in the order of the table."""
    for name in ("joules_per_training", "joules_per_1000_predictions", "joules_per_correct_prediction"):
        values = [row["energy"][name] for row in rows]
        if any(v is not None for v in values):
            shown = ", ".join("not measured" if v is None else f"{v:.3g}" for v in values)
            print(f"{name.replace('_', ' ')}, in the same order: {shown}")


def print_expected(expected: Mapping[str, Any]) -> None:
    """Print what a study would take."""
    minutes = expected["seconds"] / 60
    time = f"{minutes / 60:.1f} hours" if minutes > 90 else f"{minutes:.1f} minutes"
    for name, parameters in expected["parameters"].items():
        words = "" if parameters is None else f", {parameters} parameters"
        print(f"{visible(name)}: {expected['trials'][name]} trial(s){words}")
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
        _interval(summary),
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
