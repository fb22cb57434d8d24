"""Numbers, settings and findings as the report words them.

In: values of results.json, None where one is unknown.
Out: text for table cells and captions; a dash stands for what is unknown.
"""

from collections.abc import Mapping, Sequence

from hilbertune.report.reading import Accuracy, finished_arms, is_number, known_accuracy
from hilbertune.study.record import ArmResults, Effect, Results

INTERVALS = "Bars and bands are 95 % intervals over seeds."
"""The note below figures of accuracies."""


def percent_text(share: float | None) -> str:
    """Return a share in percent with one digit, without the sign."""
    return "–" if share is None else f"{100 * share:.1f}"


def interval_text(low: float | None, high: float | None) -> str:
    """Return an interval of shares as it follows a mean, empty if there is none: ` (87.9 to 88.8)`."""
    return "" if low is None or high is None else f" ({percent_text(low)} to {percent_text(high)})"


def accuracy_text(accuracy: Accuracy) -> str:
    """Return an accuracy for a sentence: `88.4 % (87.9 to 88.8)`."""
    return f"{percent_text(accuracy.mean)} %{interval_text(accuracy.low, accuracy.high)}"


def points_text(difference: float | None, sign: str = "+") -> str:
    """Return a difference of shares in percentage points with two digits; `sign` is as in a format specification."""
    return "–" if difference is None else f"{100 * difference:{sign}.2f}".replace("-", "−")


def p_text(p: float | None) -> str:
    """Return a p value with three digits, or that it is smaller than these show."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def number_text(value: object) -> str:
    """Return a whole number with separators, another one with three digits, and anything else as it prints."""
    if value is None:
        return "–"
    if not is_number(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.3g}"


def seconds_text(seconds: float | None) -> str:
    """Return a duration in the largest unit of which there are at least two."""
    if seconds is None:
        return "–"
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds:.2g} s"


def settings_text(settings: object) -> str:
    """Return settings by name: `qubits = 4, shots = 64`."""
    if not isinstance(settings, Mapping):
        return "–" if settings is None else str(settings)
    return ", ".join(f"{k} = {v}" for k, v in settings.items()) or "–"


def heads_text(arm: ArmResults) -> str:
    """Return how many heads of an ensemble answer together, empty for any other arm: `8 heads`."""
    ensemble = arm.get("ensemble")
    if ensemble is None:
        return ""
    rows = ", each trained on rows drawn with replacement" if ensemble["bootstrap"] else ""
    return f"{ensemble['members']} heads{rows}"


def marked(name: str, reference: str | None) -> str:
    """Return the name of an arm, marked if it is the one that the others were compared with."""
    return f"{name} (reference)" if name == reference else name


def highest_means_text(results: Results) -> str:
    """Return a sentence on the arm with the highest mean accuracy, and on the best arm of the other kind."""
    means = [(arm, known_accuracy(arm["summary"])) for arm in finished_arms(results)]
    first, accuracy = max(means, key=lambda pair: pair[1].mean)
    text = f"The highest mean is {accuracy_text(accuracy)}, {first['name']}"
    others = [(arm, accuracy) for arm, accuracy in means if arm["kind"] != first["kind"]]
    if not others:
        return f"{text}."
    second, accuracy = max(others, key=lambda pair: pair[1].mean)
    return f"{text}; the highest of the {second['kind']} arms is {accuracy_text(accuracy)}, {second['name']}."


def largest_effect_text(effects: Sequence[Effect]) -> str:
    """Return a sentence on the largest of some main effects that are known."""
    largest = max(effects, key=lambda e: abs(e["effect"] or 0.0))
    low, high = largest["interval"]
    p = largest["p_holm"]
    ends = "" if low is None else f"95 % interval {points_text(low)} to {points_text(high)}, "
    corrected = "unknown" if p is None else p_text(p) if p < 0.001 else f"= {p_text(p)}"
    return (
        f"The largest effect is that of {largest['factor']}: from {largest['low']} to {largest['high']} the mean "
        f"accuracy changes by {points_text(largest['effect'])} points ({ends}Holm-corrected p {corrected})."
    )
