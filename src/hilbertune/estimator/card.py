"""The model card that is saved beside a model.

In: what config.json says of the model, and which pictures lie beside it.
Out: Markdown with the metadata that the Hugging Face hub reads.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from hilbertune.circuit.builders import parts
from hilbertune.circuit.drawing import draw_text
from hilbertune.config.circuits import OWN, declared
from hilbertune.config.records import EMBEDDED_MODEL, HeadConfig
from hilbertune.runtime.escaping import markdown, visible

EMBEDDED_ON_THE_HUB = "sentence-transformers/all-MiniLM-L6-v2"
"""The name that the embedding model of the extra `demo` has on the hub, where its licence is Apache 2.0."""

METRICS = {
    "accuracy": "accuracy",
    "subset_accuracy": "accuracy",
    "macro_f1": "f1",
    "micro_f1": "f1",
    "roc_auc": "roc_auc",
    "mean_absolute_error": "mae",
    "spearman": "spearmanr",
    "r2": "r_squared",
}
"""The names that the hub has for metrics of ours."""

LONGEST_DRAWING = 120
"""Gates of a head that is drawn in text where there is no picture."""


def model_card(
    config: Mapping[str, Any],
    files: Collection[str] = (),
    *,
    name: str | None = None,
    validated: Mapping[str, float] | None = None,
) -> str:
    """Return the model card: what the model is, how to load it, what was measured, what it is not for.

    Args:
        config: config.json.
        files: the names of the further files in the directory, of which pictures are shown.
        name: the repository on the hub, if it is going to one.
        validated: figures of the validation rows by name, for a model without other results.
    """
    sections = [
        f"# {_title(config)}",
        _description(config),
        _loading(config, name),
        "## Measured",
        _measured(config, validated or {}),
        _classical(config),
        "## Data, base model and licence",
        _sources(config),
        "## What it must not be used for",
        _limits(config),
        "## Circuit",
        _circuit(config, files),
        "## Hyperparameters",
        _hyperparameters(config),
    ]
    body = "\n\n".join(section for section in sections if section)
    return f"---\n{_metadata(config, name)}---\n{body}\n"


def _is_regression(config: Mapping[str, Any]) -> bool:
    return bool(config["training"]["task"] == "regression")


def _title(config: Mapping[str, Any]) -> str:
    return f"Hybrid quantum-classical {'regressor' if _is_regression(config) else 'classifier'}"


def _description(config: Mapping[str, Any]) -> str:
    head, training = config["head"], config["training"]
    source = markdown((config["embedding"] or {}).get("model", "precomputed embeddings"))
    tune = config["tuning"]["tune"]
    tuned = "" if tune == "frozen" else f", a base tuned with this head: {tune}"
    members = training.get("members", 1)
    averaged = "values" if _is_regression(config) else "probabilities"
    ensemble = f" {members} heads, {averaged} averaged." if members > 1 else ""
    classes = ", ".join(map(markdown, config["classes"]))
    answers = "Predicts a number." if _is_regression(config) else f"Classes: {classes}."
    described, qubits = "a re-uploading head on", head["qubits"]
    if head.get("head_circuit") is not None:
        described, qubits = "a circuit of its own as head on", declared(head["head_circuit"], "head_circuit").qubits
    return (
        f"{config['parameters']} trained parameters: {head['encoders']} encoder(s) and {described}\n"
        f"{qubits} simulated qubits, after arXiv 2504.08732, behind {source}\n"
        f"({config['features']} numbers{tuned}).{ensemble} {answers}"
    )


def _loading(config: Mapping[str, Any], name: str | None) -> str:
    kind = "HybridRegressor" if _is_regression(config) else "HybridClassifier"
    given = "[('a text', 'another')]" if (config["embedding"] or {}).get("pairs") else '["a text"]'
    extra = "[text]" if config["embedding"] else ""
    return f"""```python
# pip install 'hilbertune{extra}'
from hilbertune import {kind}

model = {kind}.from_pretrained({json.dumps(name or "this folder")})
model.predict({given if config["embedding"] else "embeddings"})
```"""


def _measured(config: Mapping[str, Any], validated: Mapping[str, float]) -> str:
    results = config["results"]
    if not results and validated:
        figures = "\n".join(f"- {_words(key)}: {value:.4f}" for key, value in validated.items())
        return f"On the rows that were held back for validation, one training:\n\n{figures}"
    if not results:
        return "Nothing was measured on held-out data when this model was saved."
    rows = [(key, value) for key, value in results.items() if isinstance(value, Mapping) and "mean" in value]
    others = [
        (key, value) for key, value in results.items() if (key, value) not in rows and key not in ("seeds", "rows")
    ]
    said = []
    if rows:
        seeds = len(results.get("seeds", ()))
        over = f"mean over {seeds} seeds" if seeds > 1 else "mean over seeds"
        said = [f"| figure | this model | {over} | 95 % interval of the mean |", "| --- | --- | --- | --- |"]
        for key, value in rows:
            own = _own(results, value)
            mean, low, high = value["mean"], value.get("low"), value.get("high")
            interval = "one seed has none" if low is None else f"{low:.4f} to {high:.4f}"
            cells = (_words(key), "not kept" if own is None else f"{own:.4f}", f"{mean:.4f}", interval)
            said.append(f"| {' | '.join(cells)} |")
        said.append("")
    said += [f"- {_words(key)}: {markdown(_figure(value))}" for key, value in others]
    return "\n".join(said).strip()


def _own(results: Mapping[str, Any], figure: Mapping[str, Any]) -> float | None:
    """Return the figure of the saved model itself, None where it was not kept."""
    seeds, values = results.get("seeds", ()), figure.get("values", ())
    if results.get("saved_seed") not in seeds or len(values) != len(seeds):
        return None
    return float(values[list(seeds).index(results["saved_seed"])])


def _words(key: object) -> str:
    return markdown(str(key).replace("_", " "))


def _figure(value: Any) -> str:
    if value is None:
        return "undefined on these rows"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _classical(config: Mapping[str, Any]) -> str:
    """Return the table of classical heads on the same splits, or where to get one."""
    table = config.get("about", {}).get("table", [])
    claim = "No advantage over a classical head is claimed"
    if len(table) < 2:
        return f"{claim}: compare with the classical baselines that `hilbertune fit`\ntrains on the same splits."
    metric = "r2" if _is_regression(config) else "accuracy"
    lines = [
        "Beside classical heads on the same splits and test rows, means over the seeds:",
        "",
        f"| method | {_words(metric)} | 95 % interval | parameters |",
        "| --- | --- | --- | --- |",
    ]
    for row in table:
        score = row.get(metric) or row["metrics"].get(metric)
        mean = "undefined" if score is None else f"{score['mean']:.4f}"
        known = score is not None and score.get("low") is not None
        interval = f"{score['low']:.4f} to {score['high']:.4f}" if known else "one seed has none"
        parameters = "" if row["parameters"] is None else f"{row['parameters']:,}"
        lines.append(f"| {markdown(row['method'])} | {mean} | {interval} | {parameters} |")
    return "\n".join([*lines, "", f"{claim}; if a classical head is level, it is the simpler choice."])


def _sources(config: Mapping[str, Any]) -> str:
    about, base = config.get("about", {}), base_model(config)
    data = about.get("dataset")
    licence = about.get("license")
    lines = [f"- Training data: {markdown(data) if data else 'not named by whoever trained this model'}."]
    rows = config["results"].get("rows")
    if isinstance(rows, Mapping) and {"train", "validation", "test"} <= set(rows):
        shares = f"{rows['train']:,} rows trained, {rows['validation']:,} validated, {rows['test']:,} tested"
        lines.append(f"- Rows of a seed: {shares}.")
    if config["embedding"] is None:
        lines.append("- Base model: none; the model takes embeddings that were made elsewhere.")
    else:
        where = "its weights are in `base/`" if config["tuning"]["tune"] != "frozen" else "not part of this directory"
        shown = markdown(base or config["embedding"]["model"])
        its = " Its licence is Apache 2.0." if base == EMBEDDED_ON_THE_HUB else " Its own licence applies too."
        lines.append(f"- Base model: {shown}, {where}.{its}")
    lines.append(f"- Licence of the head: {markdown(licence) if licence else 'not stated; ask whoever trained it'}.")
    return "\n".join(lines)


def _limits(config: Mapping[str, Any]) -> str:
    """Return what the model is not for."""
    if _is_regression(config):
        scope = (
            "- Rows unlike those it was trained on: it answers with a number for any row, and says nothing of doubt."
        )
    else:
        scope = (
            '- Rows unlike those it was trained on, or of another class than the above: it has no answer for "none of '
            'these", and its probabilities were not calibrated.'
        )
    return "\n".join(
        [
            "- Decisions about people (hiring, credit, health, law) without a person who checks each answer.",
            scope,
            "- Evidence of a quantum advantage: the circuits are simulated, and classical heads are level or better on "
            "most data.",
        ]
    )


def _circuit(config: Mapping[str, Any], files: Collection[str]) -> str:
    """Return the head's drawing, and the text of each circuit that is no published one."""
    # Only texts that the reader of circuits takes reach a model, so none ends the block.
    texts = (
        f"The {name.removesuffix('_circuit')}:\n\n```openqasm\n{config['head'][name]}```"
        for name in OWN
        if config["head"].get(name) is not None
    )
    return "\n\n".join([_drawing(config, files), *texts])


def _drawing(config: Mapping[str, Any], files: Collection[str]) -> str:
    pictures = [name for name in ("circuit.png", "picture.png") if name in files]
    titles = {"circuit.png": "The head's circuit", "picture.png": "Methods, learning curves, expectations, circuits"}
    if pictures:
        return "\n\n".join(f"![{titles[name]}]({name})" for name in pictures)
    circuit = parts(HeadConfig.from_dict(dict(config["head"]))).get("head")
    if circuit is None:
        return "The head has no quantum circuit."
    if len(circuit.operations) > LONGEST_DRAWING:
        return f"`model.draw()` draws the head: {circuit.qubits} qubits, {len(circuit.operations)} gates."
    return f"The head:\n\n```text\n{draw_text(circuit)}\n```"


def _hyperparameters(config: Mapping[str, Any]) -> str:
    tuned = config["tuning"] if config["tuning"]["tune"] != "frozen" else {}
    settings = {**config["head"], **config["training"], **tuned}
    rows = "\n".join(f"| {name} | {value} |" for name, value in settings.items() if name not in OWN)
    return f"| name | value |\n| --- | --- |\n{rows}"


def base_model(config: Mapping[str, Any]) -> str | None:
    """Return the name on the hub of the model that embeds, before any tuning; None where it has none."""
    name = config.get("base_model") or (config["embedding"] or {}).get("model", "")
    if name == EMBEDDED_MODEL:
        return EMBEDDED_ON_THE_HUB
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name, re.ASCII) or name.startswith(".") or name == "morgan":
        return None
    return name if "/" in name else f"sentence-transformers/{name}"


def _metadata(config: Mapping[str, Any], name: str | None) -> str:
    """Return the YAML that the hub reads; every text in it is quoted as JSON, which YAML takes."""
    about, base = config.get("about", {}), base_model(config)
    texts, regression = config["embedding"] is not None, _is_regression(config)
    kind = f"{'text' if texts else 'tabular'}-{'regression' if regression else 'classification'}"
    lines = ["library_name: hilbertune"]
    if kind != "text-regression":  # of which the hub knows none
        lines.append(f"pipeline_tag: {kind}")
    lines.append("tags: [quantum, hybrid, hilbertune]")
    if about.get("license"):
        lines.append(f"license: {_quoted(about['license'])}")
    if about.get("language"):
        lines.append(f"language: {_quoted(about['language'])}")
    if base:
        lines.append(f"base_model: {_quoted(base)}")
    dataset = about.get("dataset")
    if dataset and re.fullmatch(r"[\w.-]+/[\w.-]+", dataset, re.ASCII):
        lines.append(f"datasets: [{_quoted(dataset)}]")
    measured = list(_evaluated(config))
    if measured:
        lines.append(f"metrics: [{', '.join(dict.fromkeys(hub for _, hub, _ in measured))}]")
        lines += _model_index(kind, name or _title(config), dataset or "the maker's own rows", measured)
    return "\n".join(lines) + "\n"


def _evaluated(config: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Yield each metric of the test rows with its name on the hub and the figure of the saved model itself."""
    results = config["results"]
    seen = set()
    for key, value in results.items():
        metric = key.removeprefix("test_")
        if not key.startswith("test_") or metric in seen or value is None:
            continue
        own = _own(results, value) if isinstance(value, Mapping) else value
        if isinstance(own, float | int):
            seen.add(metric)
            yield metric, METRICS.get(metric, metric), float(own)


def _model_index(kind: str, name: str, dataset: str, measured: Sequence[tuple[str, str, float]]) -> list[str]:
    """Return the lines of the entry `model-index`."""
    lines = [
        "model-index:",
        f"- name: {_quoted(name)}",
        "  results:",
        "  - task:",
        f"      type: {kind}",
        "    dataset:",
        f"      name: {_quoted(dataset)}",
        f"      type: {_quoted(dataset)}",
        "      split: test",
        "    metrics:",
    ]
    for metric, hub, value in measured:
        lines += [f"    - type: {hub}", f"      name: {_quoted(metric.replace('_', ' '))}", f"      value: {value!r}"]
    return lines


def _quoted(text: object) -> str:
    return json.dumps(visible(text))
