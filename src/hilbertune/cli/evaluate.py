"""The verb that tests a saved model: evaluate.

In: a model directory and labelled data.
Out: accuracy with its interval, the metrics of the task, the confusion matrix.
"""

from typing import TYPE_CHECKING, Any

from hilbertune.cli.flags import Device, Json, ModelArgument, TestColumns, TestData, with_records
from hilbertune.cli.output import print_json
from hilbertune.cli.places import check_model, task_of
from hilbertune.cli.rows import classes_of, embed_for, read_rows
from hilbertune.cli.tables import print_table, print_undefined, value_text
from hilbertune.runtime.escaping import visible

if TYPE_CHECKING:
    import numpy as np

    from hilbertune.config.records import Task


@with_records
def evaluate(
    model: ModelArgument, data: TestData, columns: TestColumns, device: Device = "cpu", json_: Json = False
) -> None:
    """Test a saved model on labelled data: accuracy with its interval, other metrics, and the confusion matrix.

    Example: hilbertune evaluate model test.csv --json
    """
    labelled = read_rows(data, columns, task=task_of(check_model(model)))
    import numpy as np

    from hilbertune.data.labels import label_targets
    from hilbertune.estimator.directory import load_pretrained
    from hilbertune.model import evaluation

    loaded = load_pretrained(model, device=device)
    classes = classes_of(loaded)
    truth = label_targets(labelled.labels, classes, loaded.task_)
    logits = evaluation.logits(loaded.head_, embed_for(loaded, labelled)).astype(np.float64)
    figures = _figures(loaded.task_, classes, truth, logits)
    print_json(figures) if json_ else _print(figures)


def _figures(task: "Task", classes: list[Any], truth: "np.ndarray", logits: "np.ndarray") -> dict[str, Any]:
    """Return the figures of the answers: metrics, and for classes the accuracy and the confusion matrix."""
    from hilbertune.model import evaluation, tasks
    from hilbertune.model.intervals import over_rows

    answers = tasks.predicted(task, logits)
    figures: dict[str, Any] = {"task": task, "rows": len(truth), "metrics": tasks.metrics(task, truth, logits)}
    if task == "regression":
        return figures
    right = answers == truth
    figures["test_accuracy"] = over_rows(right.all(1) if right.ndim == 2 else right)
    figures["classes"] = classes
    if task != "multi-label":
        figures["confusion"] = evaluation.confusion(truth, answers, len(classes)).tolist()
    return figures


def _print(figures: dict[str, Any]) -> None:
    if (accuracy := figures.get("test_accuracy")) is not None:
        interval = f"95 % interval {accuracy['low']:.4f} to {accuracy['high']:.4f}"
        print(f"Test accuracy {accuracy['mean']:.4f} ({interval}), {figures['rows']} rows.")
    others = {k: v for k, v in figures["metrics"].items() if not k.endswith("accuracy")}
    print(", ".join(f"{name.replace('_', ' ')} {value_text(v)}" for name, v in others.items()))
    print_undefined([name for name, v in others.items() if v is None])
    if "confusion" in figures:
        print("Rows of each class (down) by the class that was predicted (across):")
        names = [str(name) for name in figures["classes"]]
        rows = zip(names, figures["confusion"], strict=True)
        print_table(("", *map(visible, names)), [(name, *map(str, counts)) for name, counts in rows])
