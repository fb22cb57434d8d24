"""The model card that is saved beside a model.

In: what config.json says of the model.
Out: Markdown with the metadata that the Hugging Face hub reads.
"""

from collections.abc import Mapping
from typing import Any

from hilbertune.config.circuits import OWN, declared
from hilbertune.runtime.escaping import markdown


def model_card(config: Mapping[str, Any]) -> str:
    """Return the model card: what the model is, how to use it, what was measured."""
    head = config["head"]
    source = markdown((config["embedding"] or {}).get("model", "precomputed embeddings"))
    tune, task = config["tuning"]["tune"], config["training"]["task"]
    kind = "HybridRegressor" if task == "regression" else "HybridClassifier"
    tuned = "" if tune == "frozen" else f", a base tuned with this head: {tune}"
    classes = ", ".join(map(markdown, config["classes"]))
    answers = "Predicts a number." if task == "regression" else f"Classes: {classes}."
    settings = {**head, **config["training"], **(config["tuning"] if tune != "frozen" else {})}
    rows = "\n".join(f"| {name} | {value} |" for name, value in settings.items() if name not in OWN)
    described, qubits = "a re-uploading head on", head["qubits"]
    if head.get("head_circuit") is not None:
        described, qubits = "a circuit of its own as head on", declared(head["head_circuit"], "head_circuit").qubits
    # Only texts that the reader of circuits takes reach a model, so none ends the block.
    circuits = "".join(
        f"\n## {name.removesuffix('_circuit').capitalize()} circuit\n\n```openqasm\n{head[name]}```\n"
        for name in OWN
        if head.get(name) is not None
    )
    members = config["training"].get("members", 1)
    averaged = "values" if task == "regression" else "probabilities"
    ensemble = f" {members} heads, {averaged} averaged." if members > 1 else ""
    figures = {name.replace("_", " "): _figure(value) for name, value in config["results"].items()}
    measured = "\n".join(f"- {markdown(name)}: {markdown(value)}" for name, value in figures.items())
    return f"""---
library_name: hilbertune
pipeline_tag: text-classification
tags: [quantum, hybrid, hilbertune]
---
# Hybrid quantum-classical classifier

{config["parameters"]} trained parameters: {head["encoders"]} encoder(s) and {described}
{qubits} simulated qubits, after arXiv 2504.08732, behind {source}
({config["features"]} numbers{tuned}).{ensemble} {answers}

```python
from hilbertune import {kind}

model = {kind}.from_pretrained("this folder")
model.predict({'["a text"]' if config["embedding"] else "embeddings"})
```

## Measured

{measured or "Nothing was measured on held-out data when this model was saved."}

No advantage over a classical head is claimed: compare with the classical baselines that `hilbertune fit`
trains on the same splits.

## Hyperparameters

| name | value |
| --- | --- |
{rows}
{circuits}"""


def _figure(value: Any) -> str:
    """Return a measured value in words: a mean with its interval, or as it is."""
    if value is None:
        return "undefined on these rows"
    if isinstance(value, Mapping) and "mean" in value:
        text = f"{value['mean']:.4f}"
        if value.get("low") is not None:
            text += f" (95 % interval {value['low']:.4f} to {value['high']:.4f})"
        return text
    return f"{value:.4f}" if isinstance(value, float) else str(value)
