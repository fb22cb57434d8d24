"""The report of a study: one HTML page that needs no network, and every figure as SVG, PNG and CSV.

In: a study's directory with results.json. Out: report.html and figures/ beside it; the same results give the same bytes.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from hilbertune.report.reading import Results, is_number, tested_arms


def percent_text(share: float | None) -> str:
    """An accuracy in percent, without the sign."""
    return "–" if share is None else f"{100 * share:.1f}"


def interval_text(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({percent_text(low)} to {percent_text(high)})"


def accuracy_text(summary: Mapping[str, Any]) -> str:
    """For a sentence: 88.4 % (87.9 to 88.8)."""
    return f"{percent_text(summary['mean'])} %{interval_text(summary.get('low'), summary.get('high'))}"


def points_text(difference: float | None, sign: str = "+") -> str:
    return "–" if difference is None else f"{100 * difference:{sign}.2f}".replace("-", "−")


def p_text(p: float | None) -> str:
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def number_text(value: Any) -> str:
    if value is None:
        return "–"
    if not is_number(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.3g}"


def seconds_text(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds:.2g} s"


def settings_text(settings: Any) -> str:
    if not isinstance(settings, Mapping):
        return "–" if settings is None else str(settings)
    return ", ".join(f"{k} = {v}" for k, v in settings.items()) or "–"


def folded_label(text: Any, width: int = 34, lines: int = 2) -> str:
    """Folded and cut for a figure; a leading space, since matplotlib leaves names that start with _ out of legends."""
    return " " + "\n ".join(textwrap.wrap(str(text), width, max_lines=lines, placeholder=" …") or [""])


def highest_means(results: Results) -> str:
    """The best means, of all and of the other kind."""
    tested = tested_arms(results)
    first = max(tested, key=lambda arm: arm["summary"]["mean"])
    text = f"The highest mean is {accuracy_text(first['summary'])}, {first['name']}"
    others = [arm for arm in tested if arm["kind"] != first["kind"]]
    if not others:
        return f"{text}."
    second = max(others, key=lambda arm: arm["summary"]["mean"])
    return f"{text}; the highest of the {second['kind']} arms is {accuracy_text(second['summary'])}, {second['name']}."


NOTE = "Bars and bands are 95 % intervals over seeds."


def largest_effect_text(effects: Sequence[Mapping[str, Any]]) -> str:
    largest = max(effects, key=lambda e: abs(e["effect"]))
    low, high = largest["interval"]
    ends = "" if low is None else f"95 % interval {points_text(low)} to {points_text(high)}, "
    return (
        f"The largest effect is that of {largest['factor']}: from {largest['low']} to {largest['high']} the mean accuracy "
        f"changes by {points_text(largest['effect'])} points ({ends}Holm-corrected p {_p_in_sentence(largest['p_holm'])})."
    )


def _p_in_sentence(p: float | None) -> str:
    return "unknown" if p is None else p_text(p) if p < 0.001 else f"= {p_text(p)}"
