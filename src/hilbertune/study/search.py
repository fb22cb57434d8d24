"""A search instead of a grid: Optuna proposes settings from ranges, blocks of seeds try them, validation judges.

In: a `Study` of mode search, a place, a way to keep finished runs. Out: for each searched arm the trials, and the best of them. The storage (a file in the study's
directory, or a database for many machines) remembers every trial: a search that was killed goes on with the trials it was in, and more machines may join. Test rows play no part.
"""

import hashlib
import json
import socket
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertune.circuit.binding import bind
from hilbertune.circuit.builders import parts
from hilbertune.errors import HilbertuneError, require
from hilbertune.hardware.pricing import formula
from hilbertune.study.plan import HYBRID, Arm, Settings, Study, TrainingRun, configs, run_for

if TYPE_CHECKING:
    from hilbertune.study.training import Place
    from hilbertune.study.workers import Pool


PRICE_SHOTS = 1024
"""The price of a setting is that of one row with so many shots, by Azure's published list."""


GOALS = {"accuracy": "maximize", "parameters": "minimize", "depth": "minimize", "price": "minimize"}
"""What may be an objective: mean validation accuracy, trained numbers, the head's depth in gates, USD a row on a QPU."""


Row = dict[str, Any]


@dataclass(frozen=True)
class Attempt:
    """A trial: its number and id in the storage, the runs that are missing, and whether it may be stopped early."""

    number: int
    id: int
    runs: list[TrainingRun]
    study: str
    storage: str
    prune: bool


class PrunedError(Exception):
    """The trial is worse than others at the same epoch."""


def run_search(
    study: Study,
    fingerprint: str,
    place: "Place",
    pool: "Pool | None",
    known: Callable[[Iterable[str]], Mapping[str, Row]],
    keep: Callable[[Sequence[Row]], None],
    storage: str | None = None,
    progress: Callable[[str, float, str], None] = lambda stage, share, note: None,
) -> dict[str, dict[str, Any]]:
    """Try settings until every searched arm has its trials.

    Args:
        fingerprint: of the data.
        known: finished runs by their ids, with `error`, `validation_accuracy` and `parameters`.
        keep: stores finished runs; a trial is told to the storage afterwards.
        storage: URL of a database; default a file in the study's directory.

    Returns:
        For each arm: "settings" of the finished trials, best first; "best", the trials that no other beats in every objective, with their values; counts of "complete", "pruned" and "failed" trials.

    Raises:
        HilbertuneError: the storage cannot be used, or no trial of an arm succeeds.
        MissingExtraError: the extra `sweep` is not installed.
    """
    optuna = require("optuna", "sweep")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    where = storage or f"sqlite:///{place.directory / 'search.sqlite'}"
    try:
        return {
            arm.name: _Search(study, arm, fingerprint, place, where).run(pool, known, keep, progress)
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
            f"The storage of the search cannot be used ({type(error).__name__}): check its URL and that its driver is installed (psycopg, of the extra sweep, for PostgreSQL)."
        ) from None


class _Search:
    """The search of one arm."""

    def __init__(self, study: Study, arm: Arm, fingerprint: str, place: "Place", where: str) -> None:
        assert study.search is not None
        self.optuna = require("optuna", "sweep")
        self.study, self.arm, self.place, self.where = study, arm, place, where
        self.asked = study.search
        self.fingerprint = fingerprint
        about = [arm.settings, arm.search, list(study.seeds), fingerprint, self.asked.objectives]
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
        self.name = f"{study.title} / {arm.name} / {digest}"
        self.trials = self.optuna.create_study(
            study_name=self.name,
            storage=_storage(self.optuna, where),
            load_if_exists=True,
            directions=[GOALS[goal] for goal in self.asked.objectives],
            pruner=_pruner(self.optuna),
        )
        self.mine = f"{socket.gethostname()}:{place.directory}"

    def run(
        self,
        pool: "Pool | None",
        known: Callable[[Iterable[str]], Mapping[str, Row]],
        keep: Callable[[Sequence[Row]], None],
        progress: Callable[[str, float, str], None],
    ) -> dict[str, Any]:
        if pool is None:
            answers: Iterator[tuple[Attempt, Any]] = (
                (attempt, _attempt(attempt, self.place)) for attempt in self._attempts(known)
            )
        else:
            answers = pool.scatter(_attempt, self.place, self._attempts(known), ahead=pool.slots)
        for attempt, rows in answers:
            if isinstance(rows, list):
                keep(rows)
            self._tell(attempt, rows, known)
            done = self._finished()
            note = f"{done} of {self.asked.trials} trials of {self.arm.name}"
            progress("searching", min(1.0, done / self.asked.trials), note)
        return self._outcome(known)

    def _finished(self) -> int:
        return sum(t.state.is_finished() for t in self.trials.get_trials(deepcopy=False))

    def _attempts(self, known: Callable[[Iterable[str]], Mapping[str, Row]]) -> Iterator[Attempt]:
        """Trials that this directory was in when it was stopped, then new ones; each is asked for when a worker is free."""
        running = self.optuna.trial.TrialState.RUNNING
        for trial in self.trials.get_trials(deepcopy=False, states=(running,)):
            if trial.user_attrs.get("directory") == self.mine:
                yield self._attempt_for(trial.number, trial._trial_id, trial.params, known)
        while len(self.trials.get_trials(deepcopy=False)) < self.asked.trials:
            number = len(self.trials.get_trials(deepcopy=False))
            # A sampler of its own for each trial: after a crash the same proposals follow.
            self.trials.sampler = _sampler(self.optuna, self.asked.sampler, number)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of features that Optuna calls experimental
                trial = self.trials.ask()
                trial.set_user_attr("directory", self.mine)
                params = {name: _suggest(trial, name, space) for name, space in self.arm.search.items()}
            try:
                configs({**self.arm.settings, **params})
            except HilbertuneError as error:
                trial.set_user_attr("error", str(error))
                self.trials.tell(trial, state=self.optuna.trial.TrialState.FAIL)
                continue
            yield self._attempt_for(trial.number, trial._trial_id, params, known)

    def _runs(self, params: Settings) -> list[TrainingRun]:
        settings = {**self.arm.settings, **params}
        return [run_for(HYBRID, settings, seed, self.fingerprint) for seed in self.study.seeds]

    def _attempt_for(
        self, number: int, id_: int, params: Settings, known: Callable[[Iterable[str]], Mapping[str, Row]]
    ) -> Attempt:  # fmt: skip
        runs = self._runs(params)
        have = known([run.id for run in runs])
        missing = [run for run in runs if run.id not in have]
        return Attempt(number, id_, missing, self.name, self.where, self.asked.prune)

    def _tell(self, attempt: Attempt, rows: Any, known: Callable[[Iterable[str]], Mapping[str, Row]]) -> None:
        states = self.optuna.trial.TrialState
        if rows == "pruned":
            self.trials.tell(attempt.number, state=states.PRUNED)
            return
        trial = self.trials.get_trials(deepcopy=False)[attempt.number]
        runs = self._runs(trial.params)
        have = known([run.id for run in runs])
        if len(have) < len(runs) or any(row["error"] is not None for row in have.values()):
            self.trials.tell(attempt.number, state=states.FAIL)
            return
        self.trials.tell(attempt.number, self._values(runs[0].settings, have))

    def _values(self, settings: Settings, rows: Mapping[str, Row]) -> list[float]:
        head = configs(settings)[0]
        circuit = parts(head).get("head")
        found: dict[str, Callable[[], float]] = {
            "accuracy": lambda: float(np.mean([r["validation_accuracy"] for r in rows.values()])),
            "parameters": lambda: float(next(iter(rows.values()))["parameters"]),
            "depth": lambda: float(circuit.depth) if circuit else 0.0,
            "price": lambda: price(settings),
        }
        return [found[goal]() for goal in self.asked.objectives]

    def _outcome(self, known: Callable[[Iterable[str]], Mapping[str, Row]]) -> dict[str, Any]:
        states = self.optuna.trial.TrialState
        every = self.trials.get_trials(deepcopy=False)
        complete = [t for t in every if t.state == states.COMPLETE]
        if not complete:
            errors = {t.user_attrs.get("error", "training failed") for t in every}
            raise HilbertuneError(f"No trial of {self.arm.name} succeeded ({'; '.join(sorted(errors))[:300]}).")
        complete.sort(key=lambda t: (-self._signed(t.values[0]), t.number))
        best = sorted(self.trials.best_trials, key=lambda t: t.number)
        here = [
            t
            for t in complete
            if t.number == complete[0].number
            or len(known([r.id for r in self._runs(t.params)])) == len(self.study.seeds)
        ]
        return {
            "settings": [{**self.arm.settings, **t.params} for t in here],
            "objectives": list(self.asked.objectives),
            "best": [{"settings": t.params, "values": t.values} for t in best],
            "complete": len(complete),
            "pruned": sum(t.state == states.PRUNED for t in every),
            "failed": sum(t.state == states.FAIL for t in every),
        }

    def _signed(self, value: float) -> float:
        return value if GOALS[self.asked.objectives[0]] == "maximize" else -value


def _attempt(attempt: Attempt, place: "Place") -> "list[Row] | str":
    """The rows of a trial's runs, or "pruned"; done by a worker, which asks the storage whether to go on."""
    from hilbertune.study.training import train_block

    if not attempt.runs:
        return []
    if not attempt.prune:
        return train_block(attempt.runs, place)
    optuna = require("optuna", "sweep")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(
        study_name=attempt.study,
        storage=_storage(optuna, attempt.storage),
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
            raise PrunedError

    try:
        return train_block(attempt.runs, place, watch)
    except PrunedError:
        return "pruned"


def price(settings: Settings) -> float:
    """USD for one row of a head with these settings on a QPU: PRICE_SHOTS shots, Azure's published list."""
    head = configs(settings)[0]
    circuits = parts(head)
    if "head" not in circuits:
        return 0.0
    circuit = circuits["head"]
    program = bind(circuit, [1.0] * circuit.parameters, [1.0] * circuit.inputs, (0,))
    return float(formula("azure", PRICE_SHOTS, *program.counts())["cost"])


def _suggest(trial: Any, name: str, space: Any) -> Any:
    if isinstance(space, list):
        return trial.suggest_categorical(name, space)
    given = {k: space[k] for k in ("log", "step") if k in space}
    if isinstance(space["low"], int) and isinstance(space["high"], int):
        return trial.suggest_int(name, space["low"], space["high"], **given)
    return trial.suggest_float(name, float(space["low"]), float(space["high"]), **given)


def _sampler(optuna: Any, name: str, number: int) -> Any:
    samplers = optuna.samplers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "qmc":
            # Its sequence is counted in the storage: one seed for all.
            return samplers.QMCSampler(seed=0, scramble=True, warn_independent_sampling=False)
        kind = {"tpe": samplers.TPESampler, "gp": samplers.GPSampler, "random": samplers.RandomSampler}  # fmt: skip
        return kind[name](seed=number)


def _pruner(optuna: Any) -> Any:
    return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=5)


def _storage(optuna: Any, url: str) -> Any:
    """SQLite waits while another worker writes; PostgreSQL is spoken to by psycopg, whatever SQLAlchemy's default."""
    if url.startswith(("postgres://", "postgresql://")):
        url = "postgresql+psycopg://" + url.partition("://")[2]
    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}  # fmt: skip
    return optuna.storages.RDBStorage(url, engine_kwargs=options)
