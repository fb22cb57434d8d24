"""What a study consists of: a YAML file becomes arms, the arms become trials, the trials become runs.

In: a configuration (what to compare, what to tune, seeds, conditions of the test) and the shape of the data. Out: a checked `Study`, and its runs, each
with an identity that depends on nothing but what is trained.
"""

import dataclasses
import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hilbertune.baselines.families import FAMILIES
from hilbertune.config.noise import NOISE_PRESETS as NOISE
from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.data.splits import Split, few_shot_split
from hilbertune.errors import HilbertuneError, nearest
from hilbertune.model import tasks
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import PER_RUN

HYBRID = "hybrid"


HEAD = tuple(f.name for f in dataclasses.fields(HeadConfig))


TRAINING = tuple(f.name for f in dataclasses.fields(TrainingConfig))


SPLIT = ("per_class", "validation")


SETTINGS = (*HEAD, *TRAINING, *SPLIT, "noise")
"""What an arm may set: the shape, the training, how the labelled rows are drawn, and a device's noise by name."""


BLOCK_BYTES = 1 << 30
"""About so much memory is given to the states of runs that train side by side."""


Settings = dict[str, Any]


@dataclass(frozen=True)
class Arm:
    """One thing that is compared: settings, and those of which validation chooses among `tune`. The arms of a group are a line in figures."""

    name: str
    group: str
    method: str
    settings: Settings
    factors: Settings
    tune: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    trials: int | None = None
    budget: int | None = None
    search: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Search:
    """How settings are proposed (hilbertune.search): by which sampler, how many for each searched arm, for which objectives, and whether those that learn badly are stopped early."""

    sampler: str
    trials: int
    objectives: tuple[str, ...]
    prune: bool


@dataclass(frozen=True)
class Study:
    """A configuration, read and checked; `text` is what was read, `size` which of its sizes was asked for."""

    title: str
    about: str
    data: Mapping[str, Any]
    arms: Sequence[Arm]
    seeds: Sequence[int]
    conditions: Sequence[Settings]
    figure: Mapping[str, Any]
    against: str | None
    published: Sequence[Mapping[str, Any]]
    factors: Mapping[str, Sequence[Any]]
    size: str
    text: str
    search: Search | None = None


@dataclass(frozen=True)
class Data:
    """Labelled embeddings [rows, features], with the labels as indices into `classes`."""

    embeddings: np.ndarray
    labels: np.ndarray
    classes: Sequence[Any]
    source: str

    def fingerprint(self) -> str:
        """What the runs' identity knows of the data."""
        digest = hashlib.sha256(np.ascontiguousarray(self.embeddings).tobytes())
        digest.update(np.ascontiguousarray(self.labels).tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class TrainingRun:
    """One training: a method with all of its settings and a seed. Its identity is the hash of that and of the data."""

    method: str
    settings: Settings
    seed: int
    id: str


def spell_out_noise(settings: Settings) -> Settings:
    """A device's name under `noise` as its numbers."""
    if "noise" not in settings:
        return settings
    given = dict(settings)
    name = given.pop("noise")
    if name is None:
        return {"one_qubit_error": 0.0, "two_qubit_error": 0.0, "readout_error": 0.0} | given
    if name not in NOISE:
        raise HilbertuneError(f"There is no noise {name!r}: {nearest(str(name), list(NOISE))}")
    noise = NOISE[name]
    rates = (noise.one_qubit, noise.two_qubit, noise.readout)
    return dict(zip(("one_qubit_error", "two_qubit_error", "readout_error"), rates, strict=True)) | given  # fmt: skip


def configs(settings: Settings) -> tuple[HeadConfig, TrainingConfig]:
    """The two records that settings spell out.

    Raises:
        HilbertuneError: a value outside its range, or values that do not go together.
    """
    given = spell_out_noise(settings)
    head = {k: v for k, v in given.items() if k in HEAD}
    training = {k: v for k, v in given.items() if k in TRAINING}
    return HeadConfig.from_dict(head), TrainingConfig.from_dict(training)


def hybrid_trials(arm: Arm, search: Search | None = None) -> list[Settings]:
    if arm.search and search is not None:
        return drawn(arm, search.trials)
    names = list(arm.tune)
    return [
        {**arm.settings, **dict(zip(names, values, strict=True))} for values in itertools.product(*arm.tune.values())
    ]


def drawn(arm: Arm, count: int) -> list[Settings]:
    """Settings at random from an arm's ranges, for estimates."""
    rng = np.random.default_rng(0)

    def one(space: Any) -> Any:
        if isinstance(space, list):
            return space[int(rng.integers(len(space)))]
        low, high = space["low"], space["high"]
        if isinstance(low, int) and isinstance(high, int):
            return int(rng.integers(low, high + 1))
        return float(np.exp(rng.uniform(np.log(low), np.log(high))) if space.get("log") else rng.uniform(low, high))  # fmt: skip

    found = []
    for _ in range(20 * count):
        settings = {**arm.settings, **{name: one(space) for name, space in arm.search.items()}}
        try:
            configs(settings)
        except HilbertuneError:
            continue
        found.append(settings)
        if len(found) == count:
            break
    if not found:
        raise HilbertuneError(f"No settings in the ranges of {arm.name!r} go together.")
    return found


def split_for(settings: Settings, data: Data, seed: int) -> Split:
    """The rows that a run trains on, chooses on and is tested on."""
    return few_shot_split(
        data.labels.tolist(),
        per_class=settings.get("per_class", 256),
        validation=settings.get("validation", 0.15),
        seed=seed,
    )


def model_for(settings: Settings, data: Data, runs: int = 1, device: str = "cpu") -> HybridHead:
    """The model of a run, or of several side by side."""
    head, training = configs(settings)
    if training.task in ("multi-label", "regression"):
        raise HilbertuneError(f"A study compares accuracies of one class a row: task={training.task!r} has none.")
    outputs = tasks.outputs(training.task, len(data.classes))
    return HybridHead(data.embeddings.shape[1], outputs, head, runs=runs).to(device)


def trials(study: Study, data: Data) -> dict[str, list[Settings]]:
    """The settings that each arm tries. A classical arm tries as many as the quantum arm that tries most, unless `trials` says otherwise;
    the matched ones may train as many numbers as the largest quantum arm, unless `budget` says otherwise. Of a searched arm these are settings at random."""
    hybrid = {a.name: hybrid_trials(a, study.search) for a in study.arms if a.method == HYBRID}
    most = max((len(t) for t in hybrid.values()), default=1)
    largest = max((model_for(t[0], data).parameter_count for t in hybrid.values()), default=None)
    found = {}
    for arm in study.arms:
        if arm.method == HYBRID:
            found[arm.name] = hybrid[arm.name]
            continue
        parameters = arm.budget or largest
        if parameters is None:
            raise HilbertuneError(f"The arm {arm.name!r} needs a 'budget' of parameters, since no quantum arm has any.")
        rows = len(split_for(arm.settings, data, 0).train)
        shape = (parameters, data.embeddings.shape[1], len(data.classes), rows)
        kept = {k: v for k, v in arm.settings.items() if k in SPLIT}
        found[arm.name] = [
            {**kept, "parameters": parameters, "trial": trial}
            for trial in FAMILIES[arm.method].trials(arm.trials or most, *shape)
        ]
    return found


def run_for(method: str, settings: Settings, seed: int, fingerprint: str) -> TrainingRun:
    """The run of an arm's trial; a setting that is left out and its default are the same run."""
    whole = dict(settings)
    if method == HYBRID:
        head, training = configs(settings)
        whole = {**head.to_dict(), **training.to_dict()}
    whole |= {k: settings.get(k, default) for k, default in (("per_class", 256), ("validation", 0.15))}  # fmt: skip
    identity = json.dumps([method, whole, seed, fingerprint], sort_keys=True)
    return TrainingRun(method, whole, seed, hashlib.sha256(identity.encode()).hexdigest()[:32])


def expand(study: Study, data: Data) -> dict[str, list[list[TrainingRun]]]:
    """Every run of the study: for each arm, a list for each trial, with a run for each seed."""
    fingerprint = data.fingerprint()
    methods = {arm.name: arm.method for arm in study.arms}
    return {
        name: [[run_for(methods[name], t, s, fingerprint) for s in study.seeds] for t in tried]
        for name, tried in trials(study, data).items()
    }


def run_bytes(run: TrainingRun) -> int:
    """About what the states of a run take while it trains."""
    if run.method != HYBRID:
        return 0
    head, training = configs(run.settings)
    rows = max(64, training.batch_size) * (training.trajectories if training.noise else 1)
    return 12 * rows * (head.encoders << head.encoder_qubits)


def grouped(runs: Sequence[TrainingRun], workers: int = 1) -> list[list[TrainingRun]]:
    """Hybrid runs that differ in `PER_RUN` and seed only train side by side, as many as memory holds and as leaves something for every worker; classical runs stand alone."""
    fair = math.ceil(sum(run.method == HYBRID for run in runs) / workers)
    groups: dict[str, list[TrainingRun]] = {}
    for run in runs:
        alike = {k: v for k, v in run.settings.items() if k not in PER_RUN}
        key = json.dumps(alike, sort_keys=True) if run.method == HYBRID else run.id
        groups.setdefault(key, []).append(run)
    found = []
    for group in groups.values():
        size = 1
        if group[0].method == HYBRID:
            size = max(1, min(fair, BLOCK_BYTES // run_bytes(group[0])))
        found += [group[i : i + size] for i in range(0, len(group), size)]
    return found
