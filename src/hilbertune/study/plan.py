"""The plan of a study: arms become trials, trials become training runs.

In: a checked `Study` and the shape of its data.
Out: runs, each with an identity that depends on nothing but what is trained, and groups of them that train side by
    side. Needs neither torch nor Numba.
"""

import dataclasses
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from hilbertune.baselines.families import FAMILIES
from hilbertune.circuit.builders import parameter_count
from hilbertune.config import automatic
from hilbertune.config.automatic import Automatic, Traits
from hilbertune.config.noise import NOISE_PRESETS
from hilbertune.config.records import PER_RUN, VALIDATION, HeadConfig, InputConfig, TrainingConfig
from hilbertune.data.columns import on_one_scale
from hilbertune.data.splits import Split, few_shot_split
from hilbertune.data.traits import traits_of
from hilbertune.errors import HilbertuneError, nearest, shown
from hilbertune.model.outputs import outputs

HYBRID = "hybrid"


HEAD = tuple(f.name for f in dataclasses.fields(HeadConfig))


TRAINING = tuple(f.name for f in dataclasses.fields(TrainingConfig))


SPLIT: Mapping[str, Any] = {"per_class": 256, "validation": VALIDATION}
"""The settings that say how the labelled rows are drawn, and their defaults (arXiv 2504.08732)."""


BASE = "base"
"""The setting that names the base whose embeddings an arm stands on, where the data are a folder of bases."""


SETTINGS = (*HEAD, *TRAINING, *SPLIT, BASE, "noise")
"""The settings of an arm: the shape, the training, how the labelled rows are drawn, and base and noise by name."""


NAME_OF_BASE = re.compile(r"(?!\.)[A-Za-z0-9+_.-]{1,100}")
"""The names of bases, which are part of the name of a file."""


MOST_PER_CLASS = 100_000_000
"""Most rows of a class, more than any file of ours has."""


MOST_RUNS = 100_000
"""Most trainings of a study: a second each is a day."""


BLOCK_BYTES = 1 << 30
"""Memory for the states of runs that train side by side, in bytes."""


MOST_ROWS_OF_BASES = 16
"""Most runs on bases that train side by side: each brings rows of its own, and every run loads the rows of all."""


Settings = dict[str, Any]


@dataclass(frozen=True)
class Arm:
    """One thing to compare: its settings, and under `tune` the values among which validation chooses.

    The arms of a group form one line in figures.
    """

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
    """The way settings are proposed (search.py): the sampler, the trials of each searched arm, the objectives.

    With `prune`, trials that learn badly are stopped early.
    """

    sampler: str
    trials: int
    objectives: tuple[str, ...]
    prune: bool


@dataclass(frozen=True)
class Study:
    """A configuration, read and checked; `text` is the YAML that was read, `size` the name of the size asked for."""

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
    """Labelled embeddings [rows, features], with the labels as indices into `classes`.

    Those of a folder of bases lie one below the other: `blocks` tells the rows of each base and seed. All blocks have
    the same labels, and seeds may share one.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    classes: Sequence[Any]
    source: str
    blocks: Mapping[tuple[str, int], slice] = field(default_factory=dict)

    def block(self, base: str | None, seed: int) -> slice:
        """Return the rows of a base and a seed; without bases all rows.

        Raises:
            HilbertuneError: there is no such base, no such seed of it, or a base is not named where there are several.
        """
        if base is None and not self.blocks:
            return slice(0, len(self.labels))
        if base is not None and not self.blocks:
            raise HilbertuneError(
                f"A base such as {base!r} needs a folder of bases as the data: {self.source} is none."
            )
        if base is None or (base, seed) not in self.blocks:
            raise HilbertuneError(f"{self.source} has no base {base!r} for seed {seed}.")
        return self.blocks[base, seed]

    def sample(self, base: str | None = None) -> "Data":
        """Return the data that stand for a base: those of its first seed, or of the first base; without bases all."""
        if not self.blocks:
            return self
        rows = next(rows for (name, _), rows in self.blocks.items() if base in (None, name))
        return Data(self.embeddings[rows], self.labels[rows], self.classes, self.source)

    def fingerprint(self, base: str | None = None, seed: int = 0) -> str:
        """Return a hash of the rows of a base and a seed, which the identity of every run on them contains.

        Raises:
            HilbertuneError: see `block`.
        """
        rows = self.block(base, seed)
        if rows.start not in self._fingerprints:
            digest = hashlib.sha256(np.ascontiguousarray(self.embeddings[rows]).tobytes())
            digest.update(np.ascontiguousarray(self.labels[rows]).tobytes())
            self._fingerprints[rows.start] = digest.hexdigest()[:16]
        return self._fingerprints[rows.start]

    @cached_property
    def _fingerprints(self) -> dict[int, str]:
        """The hashes that are known, by the first of their rows."""
        return {}


@dataclass(frozen=True)
class TrainingRun:
    """One training: a method with all of its settings and a seed; `id` is the hash of these and of the data."""

    method: str
    settings: Settings
    seed: int
    id: str


Plan = Mapping[str, Sequence[Sequence[TrainingRun]]]
"""For each arm its trials, each with a run for each seed."""


def check_settings(settings: Settings) -> None:
    """Raise HilbertuneError if a setting, whatever the others are, has another type or lies outside its range."""
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items() if v != automatic.AUTO}
    for record in (HeadConfig, TrainingConfig):
        record.check_values(values)
    InputConfig.check_values({"validation": values.get("validation", VALIDATION)})
    per_class = values.get("per_class")
    if per_class is not None and not (type(per_class) is int and 1 <= per_class <= MOST_PER_CLASS):
        raise HilbertuneError(
            f"per_class must be a number from 1 to {MOST_PER_CLASS:,}, or null, not {shown(per_class)}."
        )
    if (name := values.get("noise")) is not None and not isinstance(name, str):
        raise HilbertuneError(f"noise is the name of a device, or null, not {shown(name)}.")
    base = values.get(BASE)
    if base is not None and not (isinstance(base, str) and NAME_OF_BASE.fullmatch(base)):
        raise HilbertuneError(
            f"base is the name of a base, of letters, digits, '+', '-', '_' and '.' (not in front), not {shown(base)}."
        )


def spell_out_noise(settings: Settings) -> Settings:
    """Return settings with the device name under `noise` replaced by its numbers."""
    if "noise" not in settings:
        return settings
    given = dict(settings)
    name = given.pop("noise")
    if name is None:
        rates = (0.0, 0.0, 0.0)
    elif name in NOISE_PRESETS:
        noise = NOISE_PRESETS[name]
        rates = (noise.one_qubit, noise.two_qubit, noise.readout)
    else:
        raise HilbertuneError(f"There is no noise {shown(name)}: {nearest(str(name)[:100], list(NOISE_PRESETS))}")
    return dict(zip(("one_qubit_error", "two_qubit_error", "readout_error"), rates, strict=True)) | given


def configs(settings: Settings) -> tuple[HeadConfig, TrainingConfig]:
    """Return the two records that settings spell out; what is left to the data has a value for the time being.

    Raises:
        HilbertuneError: a value outside its range, or values that do not go together.
    """
    return Automatic(spell_out_noise(settings)).resolved(Traits())


def settled(settings: Settings, data: Data) -> Settings:
    """Return settings with what is left to the data chosen by it, before a run's identity is made."""
    given = Automatic(spell_out_noise(settings))
    if not given.names:
        return settings
    task = given.given.get("task", "classification")
    rows = data.sample(settings.get(BASE)).embeddings
    return automatic.resolved(given.given, traits_of(rows, task, len(data.classes)))


def hybrid_trials(arm: Arm, search: Search | None = None) -> list[Settings]:
    """Return the settings that a quantum arm tries: all combinations under `tune`, or random ones of a searched arm."""
    if arm.search and search is not None:
        return drawn(arm, search.trials)
    names = list(arm.tune)
    return [
        {**arm.settings, **dict(zip(names, values, strict=True))} for values in itertools.product(*arm.tune.values())
    ]


def drawn(arm: Arm, count: int) -> list[Settings]:
    """Draw settings at random from an arm's ranges, for estimates.

    Raises:
        HilbertuneError: hardly any settings in the ranges go together.
    """
    rng = np.random.default_rng(0)
    legal: list[Settings] = []
    for _ in range(20 * count):
        settings = {**arm.settings, **{name: _drawn_value(space, rng) for name, space in arm.search.items()}}
        try:
            configs(settings)
        except HilbertuneError:
            continue
        legal.append(settings)
        if len(legal) == count:
            break
    if not legal:
        raise HilbertuneError(f"No settings in the ranges of {arm.name!r} go together.")
    return legal


def _drawn_value(space: Any, rng: np.random.Generator) -> Any:
    """Draw one value of a list of choices or of a range."""
    if isinstance(space, list):
        return space[int(rng.integers(len(space)))]
    low, high = space["low"], space["high"]
    if isinstance(low, int) and isinstance(high, int):
        return int(rng.integers(low, high + 1))
    if space.get("log"):
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return float(rng.uniform(low, high))


def split_for(settings: Settings, data: Data, seed: int) -> Split:
    """Return the rows that a run trains on, chooses on and is tested on: on every base the same for a seed.

    Raises:
        HilbertuneError: see `Data.block` and `few_shot_split`.
    """
    rows = data.block(settings.get(BASE), seed)
    split = few_shot_split(
        data.labels[rows].tolist(),
        **{name: settings.get(name, default) for name, default in SPLIT.items()},
        seed=seed,
    )
    return Split(split.train + rows.start, split.validation + rows.start, split.test + rows.start)


def outputs_for(training: TrainingConfig, data: Data) -> int:
    """Return the number of logits of the models of a study.

    Raises:
        HilbertuneError: the task has no accuracy of one class a row.
    """
    if training.task in ("multi-label", "regression"):
        raise HilbertuneError(f"A study compares accuracies of one class a row: task={training.task!r} has none.")
    return outputs(training.task, len(data.classes))


def parameters_of(settings: Settings, data: Data) -> int:
    """Return the trained numbers of a quantum arm's model, all of its members counted.

    Raises:
        HilbertuneError: the shape does not fit the data.
    """
    head, training = configs(settings)
    return training.members * parameter_count(head, data.embeddings.shape[1], outputs_for(training, data))


def check_bases(study: Study, data: Data) -> None:
    """Raise HilbertuneError unless every arm names a base of the data if they are a folder, and otherwise none."""
    for arm in study.arms:
        base = arm.settings.get(BASE)
        if data.blocks and base is None:
            raise HilbertuneError(f"{data.source} is a folder of bases: the arm {arm.name!r} must name its 'base'.")
        for seed in study.seeds:
            data.block(base, seed)


def trials(study: Study, data: Data) -> dict[str, list[Settings]]:
    """Return the settings that each arm tries; those of a searched arm are drawn at random.

    A classical arm tries as many settings as the quantum arm that tries most, unless `trials` says otherwise; a matched
    one may train as many numbers as the largest quantum arm, unless `budget` says otherwise. Where the columns of the
    data are not on one scale, every classical arm standardises them.

    Raises:
        HilbertuneError: a shape does not fit the data, there is no quantum arm and no `budget`, or arms and data do not
            agree on bases.
    """
    check_bases(study, data)
    hybrid = {
        arm.name: [settled(trial, data) for trial in hybrid_trials(arm, study.search)]
        for arm in study.arms
        if arm.method == HYBRID
    }
    most = max((len(t) for t in hybrid.values()), default=1)
    largest = max((parameters_of(t[0], data) for t in hybrid.values()), default=None)
    bases = {arm.settings.get(BASE) for arm in study.arms}
    table = {base: not on_one_scale(data.sample(base).embeddings) for base in bases}
    tried: dict[str, list[Settings]] = {}
    for arm in study.arms:
        if arm.method == HYBRID:
            tried[arm.name] = hybrid[arm.name]
            continue
        parameters = arm.budget or largest
        if parameters is None:
            raise HilbertuneError(f"The arm {arm.name!r} needs a 'budget' of parameters, since no quantum arm has any.")
        rows = len(split_for(arm.settings, data, study.seeds[0]).train)
        shape = (parameters, data.embeddings.shape[1], len(data.classes), rows)
        kept = {k: v for k, v in arm.settings.items() if k in (*SPLIT, BASE)}
        standardise = table[arm.settings.get(BASE)]
        tried[arm.name] = [
            {**kept, "parameters": parameters, "trial": trial}
            for trial in FAMILIES[arm.method].trials(arm.trials or most, *shape, standardise=standardise)
        ]
    return tried


def runs_for(method: str, settings: Settings, seeds: Iterable[int], data: Data) -> list[TrainingRun]:
    """Return the runs of an arm's trial; leaving a setting out and giving its default make the same runs.

    Of a base the identity of a run holds the rows for its seed and not the name, just as it holds no name of a file.

    Raises:
        HilbertuneError: see `Data.block`.
    """
    base = settings.get(BASE)
    whole = dict(settings)
    if method == HYBRID:
        head, training = configs(settings)
        whole = {**head.identity(), **training.identity()}
    whole.pop(BASE, None)
    whole |= {k: settings.get(k, default) for k, default in SPLIT.items()}
    runs = []
    for seed in seeds:
        identity = json.dumps([method, whole, seed, data.fingerprint(base, seed)], sort_keys=True)
        own = whole if base is None else {**whole, BASE: base}
        runs.append(TrainingRun(method, dict(own), seed, hashlib.sha256(identity.encode()).hexdigest()[:32]))
    return runs


def expand(study: Study, data: Data) -> dict[str, list[list[TrainingRun]]]:
    """Return every run of the study: for each arm, a list for each trial, with a run for each seed."""
    methods = {arm.name: arm.method for arm in study.arms}
    every = trials(study, data)
    count = len(study.seeds) * sum(map(len, every.values()))
    if count > MOST_RUNS:
        raise HilbertuneError(
            f"The study has {count:,} runs, and at most {MOST_RUNS:,} can be computed: use fewer seeds, arms or trials."
        )
    return {
        name: [runs_for(methods[name], settings, study.seeds, data) for settings in tried]
        for name, tried in every.items()
    }


def run_bytes(run: TrainingRun) -> int:
    """Estimate the bytes that the states of a run, of all of its members, take while it trains."""
    if run.method != HYBRID:
        return 0
    head, training = configs(run.settings)
    rows = max(64, training.batch_size) * (training.trajectories if training.noise else 1)
    return 12 * training.members * rows * (head.encoders << head.encoder_qubits)


def grouped(runs: Sequence[TrainingRun], workers: int = 1) -> list[list[TrainingRun]]:
    """Return blocks of runs that train side by side.

    Hybrid runs of a block differ in `PER_RUN`, base and seed only. A block is as large as memory allows while something
    is left for every worker; classical runs stand alone.
    """
    fair = math.ceil(sum(run.method == HYBRID for run in runs) / workers)
    groups: dict[str, list[TrainingRun]] = {}
    for run in runs:
        alike = {k: v for k, v in run.settings.items() if k not in (*PER_RUN, BASE)}
        key = json.dumps(alike, sort_keys=True) if run.method == HYBRID else run.id
        groups.setdefault(key, []).append(run)
    blocks: list[list[TrainingRun]] = []
    for group in groups.values():
        size = 1
        if group[0].method == HYBRID:
            most = MOST_ROWS_OF_BASES if BASE in group[0].settings else len(group)
            size = max(1, min(fair, most, BLOCK_BYTES // run_bytes(group[0])))
        blocks += [group[i : i + size] for i in range(0, len(group), size)]
    return blocks
