"""A search instead of a grid: Optuna proposes settings from ranges, blocks of seeds try them, validation judges.

In: a `Study` of mode search, and the table of its runs.
Out: for each searched arm its finished trials, best first. The storage (a file in the study's directory, or a database
    for many machines) remembers every trial: a search that was killed resumes the trials it was in, and more machines
    may join. Test rows play no part.
"""

import hashlib
import json
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hilbertune.circuit.binding import bind
from hilbertune.circuit.builders import parts
from hilbertune.errors import HilbertuneError, first_line, require
from hilbertune.hardware.pricing import formula
from hilbertune.study.plan import BASE, HYBRID, Arm, Settings, Study, TrainingRun, configs, runs_for, settled
from hilbertune.study.record import SearchResult
from hilbertune.study.table import known_runs, owner_of, store_runs
from hilbertune.study.training import Place, Progress, train_block
from hilbertune.study.workers import Pool

PRICE_SHOTS = 1024
"""Shots of the one row whose price, by Azure's published list, is the price of a setting."""


GOALS = {"accuracy": "maximize", "parameters": "minimize", "depth": "minimize", "price": "minimize"}
"""The objectives: mean validation accuracy, trained numbers, the head's depth in gates, USD per row on a QPU."""


Row = dict[str, Any]


@dataclass(frozen=True)
class Attempt:
    """A trial in progress: its number and id in the storage, its missing runs, and whether it may be stopped early."""

    number: int
    id: int
    runs: list[TrainingRun]
    study: str
    storage: str
    prune: bool


class StoppedEarlyError(Exception):
    """The end of a trial that is worse than others at the same epoch."""


class Searched(NamedTuple):
    """The finished trials of an arm, best first, and what results.json says of the search."""

    settings: list[Settings]
    result: SearchResult


def run_search(
    study: Study,
    connection: sqlite3.Connection,
    place: Place,
    pool: Pool | None,
    storage: str | None = None,
    progress: Progress = lambda *_: None,
) -> dict[str, Searched]:
    """Try settings until every searched arm has its trials, and return them by the name of the arm.

    Args:
        study: the plan.
        connection: the table of runs; a trial is reported to the storage once its runs are there.
        place: the data, the directory and the device.
        pool: the workers; None works in this process.
        storage: URL of a database; by default a file in the study's directory.
        progress: called with "searching", the share of the trials that is done, and a note.

    Raises:
        HilbertuneError: the storage cannot be used, or no trial of an arm succeeds.
        MissingExtraError: the extra `sweep` is not installed.
    """
    optuna = require("optuna", "sweep")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return {
            arm.name: ArmSearch(study, arm, connection, place, storage).run(pool, progress)
            for arm in study.arms
            if arm.search
        }
    except (
        require("sqlalchemy.exc", "sweep").SQLAlchemyError,
        optuna.exceptions.StorageInternalError,
        ImportError,  # of a database's driver
    ) as error:
        # The text of a database's error may hold its password.
        raise HilbertuneError(
            f"The storage of the search cannot be used ({type(error).__name__}): check its URL and that its driver is "
            "installed (for PostgreSQL psycopg, which the extra sweep brings)."
        ) from None


class ArmSearch:
    """The search of one arm."""

    def __init__(
        self, study: Study, arm: Arm, connection: sqlite3.Connection, place: Place, shared: str | None
    ) -> None:
        assert study.search is not None
        self.optuna = require("optuna", "sweep")
        self.study, self.arm, self.asked = study, arm, study.search
        self.connection, self.place = connection, place
        self.storage = shared or f"sqlite:///{place.directory / 'search.sqlite'}"
        of_seeds = sorted({place.data.fingerprint(arm.settings.get(BASE), seed) for seed in study.seeds})
        rows: Any = of_seeds if len(of_seeds) > 1 else of_seeds[0]
        about = [arm.settings, arm.search, list(study.seeds), rows, self.asked.objectives]
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
        self.name = f"{study.title} / {arm.name} / {digest}"
        with _damage():
            self.trials = self.optuna.create_study(
                study_name=self.name,
                storage=_open_storage(self.optuna, self.storage),
                load_if_exists=True,
                directions=[GOALS[goal] for goal in self.asked.objectives],
                pruner=_pruner(self.optuna),
            )
            self._check_trials()
        # A file in the study's directory: whoever has locked that was in all of its trials, wherever it lies now.
        self.alone = shared is None
        self.owner = owner_of(connection)

    def _check_trials(self) -> None:
        """Raise ValueError if a trial that is complete lacks a setting or a finite value of each objective."""
        for trial in self.trials.get_trials(deepcopy=False):
            if trial.state != self.optuna.trial.TrialState.COMPLETE:
                continue
            values = [float(value) for value in trial.values or []]
            if len(values) != len(self.asked.objectives) or not np.isfinite(values).all():
                raise ValueError(f"trial {trial.number} has no value of each objective")
            if set(trial.params) != set(self.arm.search):
                raise ValueError(f"trial {trial.number} lacks a setting")

    def run(self, pool: Pool | None, progress: Progress) -> Searched:
        """Try settings until the arm has its trials."""
        if pool is None:
            answers: Iterator[tuple[Attempt, Any]] = (
                (attempt, train_attempt(attempt, self.place)) for attempt in self._attempts()
            )
        else:
            answers = pool.scatter(train_attempt, self.place, self._attempts(), ahead=pool.slots)
        for attempt, rows in answers:
            if isinstance(rows, list):
                store_runs(self.connection, rows)
            self._tell(attempt, rows)
            done = sum(t.state.is_finished() for t in self.trials.get_trials(deepcopy=False))
            note = f"{done} of {self.asked.trials} trials of {self.arm.name}"
            progress("searching", min(1.0, done / self.asked.trials), note)
        return self._outcome()

    def _attempts(self) -> Iterator[Attempt]:
        """Yield the trials that this directory was in when it was stopped, then new ones, as workers become free."""
        states = self.optuna.trial.TrialState
        for trial in self.trials.get_trials(deepcopy=False, states=(states.RUNNING,)):
            if self.alone or trial.user_attrs.get("directory") == self.owner:
                yield self._attempt_for(trial.number, trial._trial_id, trial.params)
        while (number := len(self.trials.get_trials(deepcopy=False))) < self.asked.trials:
            # A sampler of its own for each trial: after a crash the same proposals follow.
            self.trials.sampler = _sampler(self.optuna, self.asked.sampler, number)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of features that Optuna calls experimental
                trial = self.trials.ask()
                trial.set_user_attr("directory", self.owner)
                params = {name: _suggest(trial, name, space) for name, space in self.arm.search.items()}
            try:
                configs({**self.arm.settings, **params})
            except HilbertuneError as error:
                trial.set_user_attr("error", str(error))
                self.trials.tell(trial, state=states.FAIL)
                continue
            yield self._attempt_for(trial.number, trial._trial_id, params)

    def _runs(self, params: Settings) -> list[TrainingRun]:
        """Return the runs of a trial, one per seed."""
        settings = settled({**self.arm.settings, **params}, self.place.data)
        return runs_for(HYBRID, settings, self.study.seeds, self.place.data)

    def _known(self, runs: list[TrainingRun]) -> dict[str, Row]:
        """Return what the table says of runs that are finished."""
        return known_runs(self.connection, [run.id for run in runs])

    def _attempt_for(self, number: int, id_: int, params: Settings) -> Attempt:
        """Return the attempt of a trial, with the runs that are not in the table."""
        runs = self._runs(params)
        known = self._known(runs)
        missing = [run for run in runs if run.id not in known]
        return Attempt(number, id_, missing, self.name, self.storage, self.asked.prune)

    def _tell(self, attempt: Attempt, rows: Any) -> None:
        """Tell the storage how a trial ended."""
        states = self.optuna.trial.TrialState
        if rows == "pruned":
            self.trials.tell(attempt.number, state=states.PRUNED)
            return
        trial = self.trials.get_trials(deepcopy=False)[attempt.number]
        runs = self._runs(trial.params)
        known = self._known(runs)
        if len(known) < len(runs) or any(row["error"] is not None for row in known.values()):
            self.trials.tell(attempt.number, state=states.FAIL)
            return
        self.trials.tell(attempt.number, self._values(runs[0].settings, known))

    def _values(self, settings: Settings, rows: Mapping[str, Row]) -> list[float]:
        """Return the values of the objectives of a trial."""
        circuit = parts(configs(settings)[0]).get("head")
        values: dict[str, Callable[[], float]] = {
            "accuracy": lambda: float(np.mean([r["validation_accuracy"] for r in rows.values()])),
            "parameters": lambda: float(next(iter(rows.values()))["parameters"]),
            "depth": lambda: float(circuit.depth) if circuit else 0.0,
            "price": lambda: price(settings),
        }
        return [values[goal]() for goal in self.asked.objectives]

    def _outcome(self) -> Searched:
        """Return the trials that are complete, best first; of other machines' trials only the best one."""
        states = self.optuna.trial.TrialState
        every = self.trials.get_trials(deepcopy=False)
        complete = [t for t in every if t.state == states.COMPLETE]
        if not complete:
            errors = {t.user_attrs.get("error", "training failed") for t in every}
            raise HilbertuneError(f"No trial of {self.arm.name} succeeded ({'; '.join(sorted(errors))[:300]}).")
        sign = -1 if GOALS[self.asked.objectives[0]] == "maximize" else 1
        complete.sort(key=lambda t: (sign * t.values[0], t.number))
        front = sorted(self.trials.best_trials, key=lambda t: t.number)
        here = [
            t
            for t in complete
            if t.number == complete[0].number or len(self._known(self._runs(t.params))) == len(self.study.seeds)
        ]
        result: SearchResult = {
            "objectives": list(self.asked.objectives),
            "best": [{"settings": t.params, "values": t.values} for t in front],
            "complete": len(complete),
            "pruned": sum(t.state == states.PRUNED for t in every),
            "failed": sum(t.state == states.FAIL for t in every),
        }
        return Searched([settled({**self.arm.settings, **t.params}, self.place.data) for t in here], result)


@contextmanager
def _damage() -> Iterator[None]:
    """Say what it means that Optuna stumbles over what its storage holds."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, HilbertuneError, ImportError):
        raise
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, AssertionError, RuntimeError) as error:
        raise HilbertuneError(
            f"The storage of the search is damaged or of another version of Optuna ({first_line(error)[:150]}): "
            "remove search.sqlite, or name another --storage; finished runs are kept."
        ) from error


def train_attempt(attempt: Attempt, place: Place) -> list[Row] | str:
    """Return the rows of a trial's runs, or "pruned"; a worker does it, and asks the storage if it should go on."""
    if not attempt.runs:
        return []
    if not attempt.prune:
        return train_block(attempt.runs, place)
    optuna = require("optuna", "sweep")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(
        study_name=attempt.study,
        storage=_open_storage(optuna, attempt.storage),
        pruner=_pruner(optuna),
    )
    trial = optuna.trial.Trial(study, attempt.id)
    epochs = attempt.runs[0].settings["epochs"]
    every = max(1, epochs // 20)  # a look at the storage costs more than an epoch

    def watch(share: float, accuracy: float) -> None:
        epoch = round(share * epochs)
        if epoch % every or epoch == epochs or np.isnan(accuracy):
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an epoch that was told before a crash
            trial.report(accuracy, epoch)
        if trial.should_prune():
            raise StoppedEarlyError

    try:
        return train_block(attempt.runs, place, watch)
    except StoppedEarlyError:
        return "pruned"


def price(settings: Settings) -> float:
    """Return USD for one row of a model with these settings on a QPU: PRICE_SHOTS shots, Azure's published list.

    Each head of an ensemble is a circuit that is paid for.
    """
    head, training = configs(settings)
    circuits = parts(head)
    if "head" not in circuits:
        return 0.0
    circuit = circuits["head"]
    program = bind(circuit, [1.0] * circuit.parameters, [1.0] * circuit.inputs, (0,))
    return training.members * float(formula("azure", PRICE_SHOTS, *program.counts())["cost"])


def _suggest(trial: Any, name: str, space: Any) -> Any:
    """Return a trial's value of one setting, from a list of choices or a range."""
    if isinstance(space, list):
        return trial.suggest_categorical(name, space)
    given = {k: space[k] for k in ("log", "step") if k in space}
    if isinstance(space["low"], int) and isinstance(space["high"], int):
        return trial.suggest_int(name, space["low"], space["high"], **given)
    return trial.suggest_float(name, float(space["low"]), float(space["high"]), **given)


def _sampler(optuna: Any, name: str, number: int) -> Any:
    """Return the sampler of a trial, seeded by its number."""
    samplers = optuna.samplers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "qmc":
            # Its sequence is counted in the storage, so all trials share one seed.
            return samplers.QMCSampler(seed=0, scramble=True, warn_independent_sampling=False)
        kind = {"tpe": samplers.TPESampler, "gp": samplers.GPSampler, "random": samplers.RandomSampler}
        return kind[name](seed=number)


def _pruner(optuna: Any) -> Any:
    """Return the rule that stops trials early."""
    return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=5)


def _open_storage(optuna: Any, url: str) -> Any:
    """Open a storage: SQLite waits while another worker writes; PostgreSQL takes psycopg, not SQLAlchemy's default."""
    if url.startswith(("postgres://", "postgresql://")):
        url = "postgresql+psycopg://" + url.partition("://")[2]
    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    return optuna.storages.RDBStorage(url, engine_kwargs=options)
