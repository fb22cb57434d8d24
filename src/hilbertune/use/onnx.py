"""A model as one ONNX graph from tokens or embeddings to answers, which runs without torch and without this package.

In: a fitted estimator.
Out: a folder with model.onnx, the tokenizer and config.json.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hilbertune.embedding.transformer import default_prompt, quiet
from hilbertune.errors import HilbertuneError, first_line, require
from hilbertune.estimator.base import HybridEstimator
from hilbertune.model import evaluation
from hilbertune.runtime import storage
from hilbertune.runtime.destinations import kept
from hilbertune.runtime.escaping import json_text
from hilbertune.use.graph import head_graph
from hilbertune.use.tokens import feeds, max_tokens, plain_tokenizer

MAX_EXPORTED_QUBITS = 16
"""Beyond it a graph's activations take more than half a MiB a row for every step: use the package itself."""

OPSET = 20

_ROUNDING = 1e-3
"""Largest difference of an exported logit, as a share of the largest one."""


def export_onnx(model: HybridEstimator, out: Path, *, opset: int = OPSET) -> dict[str, Any]:
    """Write `out`/model.onnx, the tokenizer's files and config.json to a new folder.

    The graph takes input_ids and attention_mask (and token_type_ids where the base reads them) [batch, tokens], or
    embeddings [batch, features]; batch and tokens are free. It gives logits and probabilities, or value for regression.
    Expectations are exact, even where the model was trained with shots or noise. The graph of an ensemble holds all of
    its members and averages their answers.

    Returns what config.json says, with the size of the graph in bytes.

    Raises:
        HilbertuneError: more than MAX_EXPORTED_QUBITS qubits, items other than single texts, or `out` exists.
        MissingExtraError: the extra `export` is not installed.
    """
    onnx = require("onnx", "export")
    hybrid = model.head_
    if max(hybrid.config.head_qubits, hybrid.config.encoder_qubits) > MAX_EXPORTED_QUBITS:
        raise HilbertuneError(
            f"Graphs of more than {MAX_EXPORTED_QUBITS} qubits are not exported: run the model with this package."
        )
    storage.refuse_existing(out)
    base: Any = None
    tokenizer: Any = None
    if model.embedding_ is not None:
        embedder = model.embedder()
        if embedder.kind != "text" or embedder.pairs is not None:
            raise HilbertuneError(
                "Only models of single texts or of embeddings are exported: this one reads other items."
            )
        base = embedder.transformer
        tokenizer = plain_tokenizer(base)
    graph = head_graph(hybrid, model.task_, opset)
    if base is not None:
        graph = _joined(_base_graph(base, tokenizer, opset), graph)
    about = _about(model, graph, base, opset)

    def write(place: Path) -> dict[str, Any]:
        with storage.new_directory(place) as folder:
            onnx.save(graph, str(folder / "model.onnx"))
            # By its path: graphs of over 2 GB cannot be checked in memory.
            onnx.checker.check_model(str(folder / "model.onnx"), full_check=True)
            if base is not None:
                if not default_prompt(base) and hasattr(base.tokenizer, "save_pretrained"):
                    base.tokenizer.save_pretrained(str(folder))
                tokenizer.save(str(folder / "tokenizer.json"))
                _check_answers(model, folder / "model.onnx", tokenizer)
            (folder / "config.json").write_bytes(json_text(about, indent=2).encode())
            return {**about, "bytes": (folder / "model.onnx").stat().st_size, "out": str(place)}

    written, failure = kept(write, out)
    if failure is not None:
        raise failure
    return written


def _about(model: HybridEstimator, graph: Any, base: Any, opset: int) -> dict[str, Any]:
    """Return the content of config.json."""
    hybrid, classes = model.head_, getattr(model, "classes_", np.array([]))
    return {
        "task": model.task_,
        "classes": classes.tolist(),
        "inputs": [value.name for value in graph.graph.input],
        "outputs": [value.name for value in graph.graph.output],
        "max_tokens": None if base is None else max_tokens(base),
        "members": hybrid.members,
        "exact_expectations": True,
        "trained_with_shots": model.training_config_.step_shots,
        "trained_with_noise": hybrid.head.noise is not None,
        "opset": opset,
    }


class _Tokens(nn.Module):
    """A base model as one module: tokens in, embeddings out."""

    def __init__(self, base: Any, names: list[str]) -> None:
        super().__init__()
        parts = list(base)
        if hasattr(parts[0], "embedding"):
            parts[0] = _Bag(parts[0].embedding)
        self.parts, self.names, self.width = nn.ModuleList(parts), names, base.truncate_dim

    def forward(self, *tensors: Tensor) -> Any:
        features: dict[str, Any] = dict(zip(self.names, tensors, strict=True))
        for part in self.parts:
            features = part(features)
        return features["sentence_embedding"][:, : self.width]


class _Bag(nn.Module):
    """The mean of a text's vectors of tokens, of padded tokens where a static embedding takes offsets."""

    def __init__(self, table: nn.EmbeddingBag) -> None:
        super().__init__()
        self.table = table

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        mask = features["attention_mask"][..., None].to(self.table.weight.dtype)
        total = (functional.embedding(features["input_ids"], self.table.weight) * mask).sum(1)
        return {**features, "sentence_embedding": total / mask.sum(1).clamp(min=1)}


def _base_graph(base: Any, tokenizer: Any, opset: int) -> Any:
    """Return the base as a graph from tokens to `embeddings`, by torch's exporter."""
    require("onnxscript", "export")
    if default_prompt(base) and not all(getattr(part, "include_prompt", True) for part in base):
        raise HilbertuneError(
            "The base leaves its prompt out of the mean over tokens, which a graph cannot: export the head alone, "
            "from a model trained on embeddings."
        )
    texts = ["a text", "another longer text to export"]
    own = base.preprocess(texts)
    names = [
        n
        for n in ("input_ids", "attention_mask", "token_type_ids")
        if n in own or ("offsets" in own and n != "token_type_ids")
    ]
    features = feeds(tokenizer, texts, names)
    device = base.device
    batch = torch.export.Dim("batch")
    tokens = torch.export.Dim("tokens", max=max_tokens(base))
    base.cpu().eval()
    try:
        with quiet(), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _Tokens(base, names),
                tuple(torch.from_numpy(features[name]) for name in names),
                input_names=names,
                output_names=["embeddings"],
                dynamic_shapes=(tuple({0: batch, 1: tokens} for _ in names),),
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the exporter has many errors of its own
        reason = first_line(error)
        raise HilbertuneError(
            f"The base cannot be exported by torch ({reason}): export the head alone, from a model trained on "
            "embeddings."
        ) from error
    finally:
        base.to(device)
    assert program is not None
    return program.model_proto


def _check_answers(model: HybridEstimator, graph: Path, tokenizer: Any) -> None:
    """Raise HilbertuneError unless the graph gives, from texts, the exact logits of the model."""
    runtime = require("onnxruntime", "export")
    texts = ["a text", "another longer text to export, twice: another longer text to export", "?"]
    head = model.head_.head
    kept = head.shots, head.noise
    head.shots = head.noise = None
    try:
        expected = evaluation.logits(model.head_, model.embed(texts))
    finally:
        head.shots, head.noise = kept
    session = runtime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    found = session.run([session.get_outputs()[0].name], feeds(tokenizer, texts, names))[0]
    if not np.allclose(found, expected, rtol=_ROUNDING, atol=_ROUNDING * float(np.abs(expected).max())):
        raise HilbertuneError(
            "The graph of this base gives other answers than the model does: export the head alone, from a model "
            "trained on embeddings."
        )


def _joined(base: Any, head: Any) -> Any:
    """Return both graphs as one."""
    compose = require("onnx.compose", "export")
    versions = {one.domain: one.version for one in base.opset_import}
    head.opset_import[0].version = versions[""]
    head.ir_version = base.ir_version
    head = compose.add_prefix(head, "head/")
    joined = compose.merge_models(base, head, io_map=[("embeddings", "head/embeddings")])
    for value in joined.graph.output:
        old = value.name
        value.name = old.removeprefix("head/")
        for node in joined.graph.node:
            for names in (node.input, node.output):
                for place, name in enumerate(names):
                    if name == old:
                        names[place] = value.name
    return joined
