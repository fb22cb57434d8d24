"""An explanation of one answer: the encoders' expectations, the head's qubits block by block, the weight of each word.

In: a fitted estimator and a text, or an embedding.
Out: an `Explanation`, which prints as JSON and is drawn as one picture.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from hilbertune.circuit.builders import head_blocks
from hilbertune.circuit.table import Circuit
from hilbertune.engine.expectations import expectation
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.base import HybridEstimator
from hilbertune.model import evaluation, tasks
from hilbertune.model.layers import QuantumEncoder, QuantumHead
from hilbertune.use.prediction import answers

MOST_WORDS = 128
"""Words that are left out in turn; of a longer text, the first ones."""


@dataclass(frozen=True)
class Block:
    """The head's qubits after a block of the circuit.

    They are <Z> and <X> of each, and the purity of its reduced state: 1 alone, 1/2 fully entangled with the others.
    """

    name: str
    z: list[float]
    x: list[float]
    purity: list[float]


@dataclass(frozen=True)
class Explanation:
    """A model's answer and what led to it.

    `score` is the probability of the answer, or the number itself (regression); a word's effect is the score of the
    whole text less that of the text without it, None where nothing would be left. Of an ensemble of `members` heads,
    `score` and effects are those of the averaged answer; `encoders` and `blocks` are those of each head in turn.
    """

    text: str | None
    answer: str
    score: float
    scores: dict[str, float]
    encoders: list[list[float]]
    blocks: list[Block]
    words: list[tuple[str, float | None]]
    words_left_out: int
    members: int = 1

    def of_member(self, number: int) -> tuple[list[list[float]], list[Block]]:
        """Return the encoders and the blocks of one head, counted from 0."""
        encoders, blocks = len(self.encoders) // self.members, len(self.blocks) // self.members
        return (
            self.encoders[number * encoders : (number + 1) * encoders],
            self.blocks[number * blocks : (number + 1) * blocks],
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return asdict(self)


def explain(model: HybridEstimator, item: Any) -> Explanation:
    """Explain the answer for one text, or for one embedding [features].

    Leaving out words tells what the model used, not what is true, and words that say the same hide each other.

    Raises:
        HilbertuneError: a model of other items, or whose encoder and head are not circuits.
    """
    hybrid = model.head_
    if not isinstance(hybrid.encoder, QuantumEncoder) or not isinstance(hybrid.head, QuantumHead):
        raise HilbertuneError("Only a model with a quantum encoder and a quantum head can be explained.")
    is_text = isinstance(item, str)
    if is_text:
        if model.embedder().kind not in ("text", "smiles") or model.embedder().pairs is not None:
            raise HilbertuneError("Only single texts and embeddings can be explained.")
        words = item.split()
        tried = words[:MOST_WORDS] if len(words) > 1 and model.embedder().kind == "text" else []
        shorter = [" ".join(words[:i] + words[i + 1 :]) for i in range(len(tried))]
        items: Any = [item, *shorter]
    else:
        words, tried = [], []
        items = np.asarray(item, np.float32)[None]
    vectors = model.embed(items)
    scores = _scores(model, vectors)
    best = int(scores[0].argmax())
    names = [str(c) for c in np.asarray(getattr(model, "classes_", ["value"])).tolist()]
    with torch.no_grad():
        x = torch.from_numpy(vectors[:1]).to(hybrid.head.weights)
        rows = x.expand(hybrid.runs, *x.shape)
        loaded = rows if hybrid.loading is None else hybrid.loading(rows)
        encoders = hybrid.encoder(loaded)[:, :, 0].flatten(0, 1).tolist()
        angles = hybrid.angles(x)[:, 0].double().cpu().numpy()
        weights = hybrid.head.weights.double().cpu().numpy()
    each = zip(weights, angles, strict=True)
    blocks = [block for own in each for block in qubits_after_blocks(hybrid.head.circuit, *own)]
    effects = scores[0, best] - scores[1:, best]
    shown: list[tuple[str, float | None]] = [(word, float(effect)) for word, effect in zip(tried, effects, strict=True)]
    return Explanation(
        text=item if is_text else None,
        answer=str(_answer(model, items[:1])),
        score=float(scores[0, best]),
        scores=dict(zip(names, map(float, scores[0]), strict=True)),
        encoders=encoders,
        blocks=blocks,
        words=shown if shown else [(word, None) for word in words[:MOST_WORDS]],
        words_left_out=max(0, len(words) - MOST_WORDS),
        members=hybrid.members,
    )


def _scores(model: HybridEstimator, vectors: np.ndarray) -> Float[np.ndarray, "rows scores"]:
    """Return probabilities, or the number (regression)."""
    logits = evaluation.logits(model.head_, vectors).astype(np.float64)
    return logits if model.task_ == "regression" else tasks.probabilities(model.task_, logits)


def _answer(model: HybridEstimator, items: Any) -> Any:
    return next(iter(answers(model, items)[0].values()))


def qubits_after_blocks(
    circuit: Circuit, weights: Float[np.ndarray, " weights"], angles: Float[np.ndarray, " inputs"]
) -> list[Block]:
    """Return the qubits after each block of the head, for its weights and the angles of one row."""
    words = [f"{letter}{qubit}" for letter in "ZXY" for qubit in range(circuit.qubits)]
    w, x = (torch.from_numpy(np.asarray(values, dtype=np.float64)) for values in (weights, angles))
    blocks: list[Block] = []
    for name, operations in head_blocks(circuit):
        until = Circuit(circuit.qubits, circuit.operations[: operations.stop])
        values = expectation(until, w[: until.parameters], x[: until.inputs], observables=words)
        bloch = values.view(3, circuit.qubits)
        purity = (1 + (bloch**2).sum(0)) / 2
        blocks.append(Block(name, bloch[0].tolist(), bloch[1].tolist(), purity.tolist()))
    return blocks
