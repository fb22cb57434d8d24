"""Finished runs, mirrored to TensorBoard, MLflow or Weights & Biases, for those who already look there.

In: runs with their settings, curves and figures. Out: a run each in the tracker. The tracker is a copy: what counts is in the model's or the study's directory,
and a tracker that fails is named in a warning and stops nothing.
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
from typing import Any

from hilbertune.errors import HilbertuneError, require
from hilbertune.runtime import storage


@dataclass(frozen=True)
class Record:
    """One run: `curves` have a value an epoch (None after it stopped), `metrics` one in all; `group` is what it is compared within."""

    name: str
    group: str
    settings: Mapping[str, Any]
    curves: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same for the same run with the same figures, so that nothing is mirrored twice."""
        about = json.dumps([vars(self)], sort_keys=True, default=str)
        return hashlib.sha256(about.encode()).hexdigest()[:24]

    def steps(self) -> list[tuple[int, dict[str, float]]]:
        """Epochs, counted from 1, with the finite values of the curves."""
        longest = max(map(len, self.curves.values()), default=0)
        found = []
        for epoch in range(longest):
            values = {k: c[epoch] for k, c in self.curves.items() if epoch < len(c)}
            known = {k: float(v) for k, v in values.items() if v is not None and math.isfinite(v)}
            found.append((epoch + 1, known))
        return found

    def parameters(self) -> dict[str, Any]:
        """Settings as trackers take them: text, numbers and truth values."""
        return {
            k: v if isinstance(v, bool | int | float | str) else str(v)
            for k, v in self.settings.items()
            if v is not None
        }


Mirror = Callable[[Record], None]


def mirrors(tensorboard: Path | None, mlflow: str | None, wandb: str | None) -> list[Mirror]:
    """What copies a run, for each tracker that is asked for; made before work starts, so that a missing package or server is known then.

    Raises:
        MissingExtraError: the extra of a tracker is not installed.
        HilbertuneError: the folder cannot be written, or MLflow's store not be reached.
    """
    found: list[Mirror] = []
    if tensorboard is not None:
        found.append(_tensorboard(tensorboard))
    if mlflow is not None:
        found.append(_mlflow(mlflow))
    if wandb is not None:
        found.append(_wandb(wandb))
    return found


def copy(records: Sequence[Record], to: Sequence[Mirror]) -> list[str]:
    """Mirror all; a sentence for each tracker that failed."""
    failed = []
    for mirror in to:
        try:
            for record in records:
                mirror(record)
        except Exception as error:
            # Trackers fail in many ways; the runs are safe where they are.
            name = mirror.__qualname__.split(".")[0].strip("_")
            reason = " ".join(str(error).split()) or type(error).__name__
            failed.append(f"Runs could not be mirrored to {name} ({reason}); nothing else is lost.")
    return failed


def _tensorboard(folder: Path) -> Mirror:
    require("tensorboard", "tensorboard")
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    writing: Any = SummaryWriter
    table: Any = hparams
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HilbertuneError(f"Cannot write {folder}: {error.strerror}.") from error

    def mirror(record: Record) -> None:
        place = folder / _file(record.group) / f"{_file(record.name)}-{record.key[:8]}"
        if place.exists():
            return
        with storage.new_directory(place) as made, closing(writing(str(made))) as writer:
            for step, values in record.steps():
                for name, value in values.items():
                    writer.add_scalar(name, value, step)
            for name, value in record.metrics.items():
                writer.add_scalar(f"final/{name}", value, 0)
            named = {f"final/{k}": v for k, v in record.metrics.items()}
            for summary in table(record.parameters(), named):
                writer.file_writer.add_summary(summary)

    return mirror


def _mlflow(uri: str) -> Mirror:
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
        reason = " ".join(str(error).split()) or type(error).__name__
        raise HilbertuneError(
            f"MLflow's store {uri.split('@')[-1]} cannot be used ({reason[:200]}): name a file, an sqlite:/// or an http:// address."
        ) from error

    def mirror(record: Record) -> None:
        known = client.get_experiment_by_name(record.group)
        group = known.experiment_id if known else client.create_experiment(record.group)
        if client.search_runs([group], f"tags.hilbertune = '{record.key}' and attributes.status = 'FINISHED'"):  # fmt: skip
            return
        run = client.create_run(group, run_name=record.name, tags={"hilbertune": record.key})
        number, now = run.info.run_id, int(datetime.now(UTC).timestamp() * 1000)
        metrics = [Metric(k, v, now, e) for e, values in record.steps() for k, v in values.items()]
        metrics += [Metric(f"final_{k}", v, now, 0) for k, v in record.metrics.items()]
        params = [Param(k, str(v)[:500]) for k, v in record.parameters().items()]
        for start in range(
            0, max(len(metrics), len(params)), 90
        ):  # a batch holds 1,000 metrics, but only 100 parameters
            client.log_batch(number, metrics[start : start + 90], params[start : start + 90])
        client.set_terminated(number)

    return mirror


def _wandb(project: str) -> Mirror:
    module = require("wandb", "wandb")

    def mirror(record: Record) -> None:
        run = module.init(
            project=project,
            id=record.key,
            name=record.name,
            group=record.group,
            config=record.parameters(),
            resume="allow",
            reinit="finish_previous",
            settings=module.Settings(silent=True, console="off"),
        )
        for step, values in record.steps():
            run.log(values, step=step)
        run.summary.update(dict(record.metrics))
        run.finish()

    return mirror


def _file(name: str) -> str:
    """A name that a file may have."""
    return "".join(c if c.isalnum() or c in " -_.,=" else "_" for c in name).strip(". ")[:80] or "_"


def of_fit(
    figures: Mapping[str, Any],
    curves: Mapping[str, Any],
    settings: Mapping[str, Any],
    group: str,
) -> list[Record]:
    """A run for each method and seed of the table that `hilbertune fit` prints; the quantum head has curves [epochs, seeds]."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    records = []
    rows = figures["table"] or [{"method": "hybrid quantum head", "kind": "quantum", "metrics": {}}]
    for row in rows:
        for number, seed in enumerate(figures["seeds"]):
            quantum = row["kind"] == "quantum"
            metrics = {f"test_{k}": v["values"][number] for k, v in row["metrics"].items()}
            cost = {k: v for k, v in row.get("energy", {}).items() if v is not None}
            records.append(
                Record(
                    f"{row['method']}, seed {seed}",
                    group,
                    {"method": row["method"], "seed": seed, "finished": when}
                    | (dict(settings) if quantum else {}),
                    {k: v[:, number].tolist() for k, v in curves.items()} if quantum else {},
                    {**metrics, **({"parameters": row["parameters"]} if "parameters" in row else {}), **cost},
                )
            )  # fmt: skip
    return records


def of_study(directory: Path, group: str) -> list[Record]:
    """The finished runs of a study's table, those that were tested with their test accuracy."""
    with closing(sqlite3.connect(directory / "runs.sqlite")) as connection:
        connection.row_factory = sqlite3.Row
        tested = {
            row["run"]: row["accuracy"]
            for row in connection.execute("SELECT run, accuracy FROM tests WHERE condition = '{}'")
        }
        records = []
        for row in connection.execute("SELECT * FROM runs WHERE error IS NULL ORDER BY rowid"):
            values = {
                "validation_accuracy": row["validation_accuracy"],
                "validation_loss": row["validation_loss"],
                "parameters": row["parameters"],
                "seconds": row["seconds"],
                "joules": row["joules"],
                "test_accuracy": tested.get(row["id"]),
            }
            settings = {"method": row["method"], "seed": row["seed"], "run": row["id"]}
            records.append(
                Record(
                    f"{row['method']}, seed {row['seed']}, {row['id'][:8]}",
                    group,
                    settings | json.loads(row["settings"]),
                    json.loads(row["curves"]) if row["curves"] else {},
                    {k: float(v) for k, v in values.items() if v is not None},
                )
            )
        return records
