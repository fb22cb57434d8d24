"""The results of a study as typed records: the content of results.json.

In: nothing.
Out: the keys that results.py writes and the report reads; those that older files lack are `NotRequired`. Accuracies and
    intervals are shares from 0 to 1; seconds and joules are means over seeds unless a record says otherwise.
"""

from typing import Any, Literal, NotRequired

# Before Python 3.12 pydantic takes only these typed dictionaries.
from typing_extensions import TypedDict

Interval = list[float | None]
"""The lower and the upper end; both None where there are too few values."""

Value = str | int | float | bool | list[str] | list[int] | list[float] | None
"""A setting, as JSON gives it."""


class Summary(TypedDict):
    """The mean over seeds with its 95 % intervals: Student's t and BCa bootstrap."""

    mean: float | None
    low: float | None
    high: float | None
    bootstrap_low: NotRequired[float | None]
    bootstrap_high: NotRequired[float | None]


class Evaluation(TypedDict):
    """The test of an arm under one further condition: `accuracy` per seed, and its mean and 95 % interval."""

    name: str
    value: float | int | None
    accuracy: list[float]
    mean: float | None
    low: float | None
    high: float | None
    trajectory_error: float | None


class Cost(TypedDict, total=False):
    """Joules and seconds of an arm; None where not every seed was measured, empty where no seed finished."""

    joules_per_training: float | None
    joules_per_1000_predictions: float | None
    joules_per_correct_prediction: float | None
    seconds_per_1000_predictions: float | None


class Curves(TypedDict):
    """Learning curves of the seeds side by side, [epoch][seed]; None after a run has stopped."""

    epoch: list[int]
    train_loss: list[list[float | None]]
    validation_loss: list[list[float | None]]
    validation_accuracy: list[list[float | None]]


class StoredCurves(TypedDict):
    """The learning curves of one run, as its row of runs.sqlite keeps them."""

    train_loss: list[float | None]
    validation_loss: list[float | None]
    validation_accuracy: list[float | None]


class FailedRun(TypedDict):
    """A run that ended in an error."""

    seed: int
    error: str


class Failure(FailedRun):
    """A failed run with the name of its arm."""

    arm: str


class Ensemble(TypedDict):
    """The heads whose answers are averaged, and whether each was trained on rows drawn with replacement."""

    members: int
    bootstrap: bool


class ArmResults(TypedDict):
    """The results of one arm: `validation` and `test` hold the accuracies of `seeds`, those that finished.

    Parameters, seconds and joules are those of all heads; only an arm of several heads has an `ensemble`.
    """

    name: str
    kind: Literal["quantum", "classical"]
    method: str
    group: NotRequired[str]
    factors: dict[str, Value]
    parameters: float | None
    trials: int
    chosen: dict[str, Value]
    seeds: list[int]
    validation: list[float | None]
    test: list[float]
    summary: Summary | None
    evaluations: list[Evaluation]
    confusion: list[list[int]] | None
    seconds: float | None
    energy_joules: float | None
    energy: NotRequired[Cost]
    curves: Curves | None
    head: dict[str, Any] | None
    ensemble: NotRequired[Ensemble]
    failed: list[FailedRun]


class Difference(TypedDict):
    """The paired difference of two arms, `name` less `against`; see comparison.compare."""

    name: str
    against: str
    difference: float | None
    interval: Interval
    bootstrap: NotRequired[Interval]
    p_permutation: float | None
    p_wilcoxon: NotRequired[float | None]
    p_t: NotRequired[float | None]
    spread: NotRequired[float | None]
    effect_size: float | None
    detectable: float | None
    n: int


class Comparison(Difference):
    """A difference that was corrected for the number of comparisons and judged; see comparison.holm."""

    p_holm: float | None
    testable: NotRequired[bool]
    verdict: str
    sentence: str


class Effect(TypedDict):
    """The main effect of one factor of a screening design, with the names of its two levels."""

    factor: str
    low: str
    high: str
    effect: float | None
    interval: Interval
    p: float | None
    p_holm: float | None


class Published(TypedDict):
    """A published accuracy, its source, and its place on the figure's axis."""

    what: str
    value: float | None
    source: str
    x: float | int | None


class BestTrial(TypedDict):
    """The settings of a trial that no other beats in every objective, and its value of each objective."""

    settings: dict[str, Value]
    values: list[float]


class SearchResult(TypedDict):
    """The trials of a searched arm: the best ones, and how many were completed, stopped early and failed."""

    objectives: list[str]
    best: list[BestTrial]
    complete: int
    pruned: int
    failed: int


class DataFacts(TypedDict):
    """The source and shape of the data, and how many rows of the first seed's split serve which purpose."""

    source: str
    rows: int
    features: int
    classes: list[str]
    train: int
    validation: int
    test: int


class FigureWish(TypedDict):
    """The figure that a configuration asks for: its kind, the settings of axis and lines, and whether by condition."""

    kind: str
    x: str | None
    series: str | None
    conditions: bool


class Environment(TypedDict, total=False):
    """The machine, by names of its own; packages with their versions."""

    packages: dict[str, str | None]


class Results(TypedDict):
    """The whole of results.json; `seconds` is the sum over all runs, `config` the text of the YAML file."""

    title: str
    about: str
    size: str
    created: str
    seconds: float | None
    config: str
    command: str
    environment: Environment
    data: DataFacts
    figure: FigureWish
    arms: list[ArmResults]
    comparisons: list[Comparison]
    effects: list[Effect] | None
    published: list[Published]
    failures: list[Failure]
    search: NotRequired[dict[str, SearchResult] | None]
