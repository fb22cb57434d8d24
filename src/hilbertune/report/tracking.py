"""Finished runs copied to TensorBoard, MLflow or Weights & Biases, for those who already look there.

In: the figures of a fit, or the table of a study.
Out: one run each in the tracker. It is a copy: a tracker that fails is named in a sentence and stops nothing.
"""

import hashlib
import json
import logging
import math
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from hilbertune.errors import HilbertuneError, require
from hilbertune.runtime.storage import new_directory, open_database


@dataclass(frozen=True)
class TrackedRun:
    """A run as trackers keep it, among the runs of its `group` that it is compared with.

    `curves` have one value per epoch (None after the run has stopped), `metrics` one for the whole run.
    """

    name: str
    group: str
    settings: Mapping[str, Any]
    curves: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """An identity that stays the same while the figures do, so that nothing is mirrored twice."""
        about = json.dumps([vars(self)], sort_keys=True, default=str)
        return hashlib.sha256(about.encode()).hexdigest()[:24]

    def steps(self) -> list[tuple[int, dict[str, float]]]:
        """Return the epochs, counted from 1, each with the finite values of the curves."""
        longest = max(map(len, self.curves.values()), default=0)
        steps = []
        for epoch in range(longest):
            values = {k: c[epoch] for k, c in self.curves.items() if epoch < len(c)}
            known = {k: float(v) for k, v in values.items() if v is not None and math.isfinite(v)}
            steps.append((epoch + 1, known))
        return steps

    def parameters(self) -> dict[str, Any]:
        """Return the settings as trackers take them: text, numbers and truth values."""
        return {
            k: v if isinstance(v, bool | int | float | str) else str(v)
            for k, v in self.settings.items()
            if v is not None
        }


class Mirror(NamedTuple):
    """A tracker that was asked for: its name, and what copies a run to it."""

    tracker: str
    write: Callable[[TrackedRun], None]


def mirrors(tensorboard: Path | None, mlflow: str | None, wandb: str | None) -> list[Mirror]:
    """Open each tracker that is asked for, before work starts, so that a missing package or server is known then.

    Raises:
        MissingExtraError: the extra of a tracker is not installed.
        HilbertuneError: the folder cannot be written, or MLflow's store cannot be reached.
    """
    asked: list[Mirror] = []
    if tensorboard is not None:
        asked.append(Mirror("tensorboard", _tensorboard(tensorboard)))
    if mlflow is not None:
        asked.append(Mirror("mlflow", _mlflow(mlflow)))
    if wandb is not None:
        asked.append(Mirror("wandb", _wandb(wandb)))
    return asked


def copy_runs(runs: Sequence[TrackedRun], to: Sequence[Mirror]) -> list[str]:
    """Copy all runs to all trackers and return a sentence for each tracker that failed."""
    failed = []
    for tracker, write in to:
        try:
            for run in runs:
                write(run)
        except Exception as error:
            # Trackers fail in many ways; the runs are safe where they are.
            failed.append(f"Runs could not be mirrored to {tracker} ({_reason(error)}); nothing else is lost.")
    return failed


def _reason(error: Exception) -> str:
    """Return what an error says in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _tensorboard(folder: Path) -> Callable[[TrackedRun], None]:
    require("tensorboard", "tensorboard")
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    summary_writer: Any = SummaryWriter
    summaries_of: Any = hparams
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HilbertuneError(f"Cannot write {folder}: {error.strerror}.") from error

    def write(run: TrackedRun) -> None:
        place = folder / _file_name(run.group) / f"{_file_name(run.name)}-{run.key[:8]}"
        if place.exists():
            return
        with new_directory(place) as made, closing(summary_writer(str(made))) as writer:
            for step, values in run.steps():
                for name, value in values.items():
                    writer.add_scalar(name, value, step)
            for name, value in run.metrics.items():
                writer.add_scalar(f"final/{name}", value, 0)
            named = {f"final/{k}": v for k, v in run.metrics.items()}
            for summary in summaries_of(run.parameters(), named):
                writer.file_writer.add_summary(summary)

    return write


def _mlflow(uri: str) -> Callable[[TrackedRun], None]:
    # Its own default of seven tries with growing pauses would hold up a finished study for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    module = require("mlflow", "mlflow")
    from mlflow.entities import Metric, Param

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if "://" not in uri:
        uri = f"sqlite:///{Path(uri).absolute()}"
    try:
        client = module.MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except Exception as error:
        raise HilbertuneError(
            f"MLflow's store {uri.split('@')[-1]} cannot be used ({_reason(error)[:200]}): "
            "name a file, an sqlite:/// or an http:// address."
        ) from error

    def write(run: TrackedRun) -> None:
        known = client.get_experiment_by_name(run.group)
        group = known.experiment_id if known else client.create_experiment(run.group)
        same = f"tags.hilbertune = '{run.key}' and attributes.status = 'FINISHED'"
        if client.search_runs([group], same):
            return
        made = client.create_run(group, run_name=run.name, tags={"hilbertune": run.key})
        identity, now = made.info.run_id, int(datetime.now(UTC).timestamp() * 1000)
        metrics = [Metric(k, v, now, e) for e, values in run.steps() for k, v in values.items()]
        metrics += [Metric(f"final_{k}", v, now, 0) for k, v in run.metrics.items()]
        params = [Param(k, str(v)[:500]) for k, v in run.parameters().items()]
        # A batch holds 1,000 metrics, but only 100 parameters.
        for start in range(0, max(len(metrics), len(params)), 90):
            client.log_batch(identity, metrics[start : start + 90], params[start : start + 90])
        client.set_terminated(identity)

    return write


def _wandb(project: str) -> Callable[[TrackedRun], None]:
    module = require("wandb", "wandb")

    def write(run: TrackedRun) -> None:
        made = module.init(
            project=project,
            id=run.key,
            name=run.name,
            group=run.group,
            config=run.parameters(),
            resume="allow",
            reinit="finish_previous",
            settings=module.Settings(silent=True, console="off"),
        )
        for step, values in run.steps():
            made.log(values, step=step)
        made.summary.update(dict(run.metrics))
        made.finish()

    return write


def _file_name(name: str) -> str:
    """Return a name that a file may have."""
    return "".join(c if c.isalnum() or c in " -_.,=" else "_" for c in name).strip(". ")[:80] or "_"


def of_fit(
    figures: Mapping[str, Any],
    curves: Mapping[str, Any],
    settings: Mapping[str, Any],
    group: str,
) -> list[TrackedRun]:
    """Return a run for each method and seed of the table that `hilbertune fit` prints.

    `figures` are those of an experiment; the `curves` [epochs, seeds] (of an ensemble
    the means over its members) and `settings` are those of the quantum head.
    """
    when = datetime.now(UTC).isoformat(timespec="seconds")
    runs = []
    for row in figures["table"] or [{"method": "hybrid quantum head", "kind": "quantum", "metrics": {}}]:
        quantum = row["kind"] == "quantum"
        once = {"parameters": row["parameters"]} if "parameters" in row else {}
        once |= {k: v for k, v in row.get("energy", {}).items() if v is not None}
        for number, seed in enumerate(figures["seeds"]):
            about = {"method": row["method"], "seed": seed, "finished": when}
            runs.append(
                TrackedRun(
                    f"{row['method']}, seed {seed}",
                    group,
                    about | dict(settings) if quantum else about,
                    {k: v[:, number].tolist() for k, v in curves.items()} if quantum else {},
                    {f"test_{k}": v["values"][number] for k, v in row["metrics"].items() if v} | once,
                )
            )
    return runs


def of_study(directory: Path, group: str) -> list[TrackedRun]:
    """Return the finished runs of a study's table, those that were tested with their test accuracy."""
    with closing(open_database(directory / "runs.sqlite")) as connection:
        connection.row_factory = sqlite3.Row
        tested = dict(connection.execute("SELECT run, accuracy FROM tests WHERE condition = '{}'").fetchall())
        rows = connection.execute("SELECT * FROM runs WHERE error IS NULL ORDER BY rowid").fetchall()
    columns = ("validation_accuracy", "validation_loss", "parameters", "seconds", "joules")
    runs = []
    for row in rows:
        metrics = {name: row[name] for name in columns} | {"test_accuracy": tested.get(row["id"])}
        about = {"method": row["method"], "seed": row["seed"], "run": row["id"]}
        runs.append(
            TrackedRun(
                f"{row['method']}, seed {row['seed']}, {row['id'][:8]}",
                group,
                about | json.loads(row["settings"]),
                json.loads(row["curves"]) if row["curves"] else {},
                {k: float(v) for k, v in metrics.items() if v is not None},
            )
        )
    return runs
