"""A whole model, and whole training steps, in one compiled call: what the CPU does while it trains.

In: a `HybridHead`, embeddings and the goal of training. Out: logits, and weights and moments that have taken steps of Adam. Between the first and the
last step of a call nothing returns to Python, whose work would take longer than the circuits of ten qubits. Memory: a few states of
eight samples for each thread.
"""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hilbertune.engine import cpu
from hilbertune.engine.rows import LANES
from hilbertune.model import kernels

if TYPE_CHECKING:
    from hilbertune.model.layers import HybridHead
    from hilbertune.model.loading import AmplitudeLoading


LOADED_BYTES = 1 << 30
"""Amplitudes of all rows are loaded once if they take at most so many bytes."""


_ONE_CALL = 1_000_000_000
"""Rows times gates of a thread in one call, about a second: then the interpreter can answer a signal."""


_WORTH_A_TEAM = 20_000
"""Rows times gates of a tile (some 20 microseconds) from which two threads share a batch."""


def usable(model: "HybridHead", rows: int) -> bool:
    """Whether a model's exact expectations can be computed this way: on the CPU, amplitudes that can be loaded once."""
    head = model.head
    return (
        head.engine in ("auto", "cpu")
        and head.weights.device.type == "cpu"
        and head.shots is None
        and head.noise is None
        and len(model.circuits) == 2
        and _loadable(model, rows)
    )


def _loadable(model: "HybridHead", rows: int) -> bool:
    """Whether the model's amplitudes can be loaded once, before training: nothing in the loading is trained, and they fit."""
    loading = _loading(model)
    sources = model.runs if hasattr(loading, "matrix") else 1
    size = sources * rows * loading.width * model.head.weights.element_size()
    return not loading.trainable and size <= LOADED_BYTES


def _loading(model: "HybridHead") -> "AmplitudeLoading":
    assert model.loading is not None, "a model without a quantum encoder is not usable here"
    return model.loading


class Fused:
    """A model on the CPU with the rows it sees: `embeddings`, shared by all runs, and, for training, class labels or another goal.

    `weights` [runs, parameters] are what training changes, the tensor that the model's parameters view; a copy of them if left out.

    Raises:
        HilbertuneError: not even one thread's states fit the memory.
    """

    def __init__(
        self,
        model: "HybridHead",
        embeddings: Float[Tensor, "rows features"],
        labels: Int[Tensor, " rows"] | None = None,
        weights: Float[Tensor, "runs weights"] | None = None,
        goal: kernels.Goal | None = None,
    ) -> None:
        if weights is None:
            weights = torch.cat([p.detach().flatten(1) for p in model.parameters()], dim=1)
        self.weights = weights.detach().numpy()
        if goal is None:
            indices = np.zeros(0, np.int64) if labels is None else labels.numpy()
            every = np.ones((1, len(indices), 1))
            goal = kernels.Goal(kernels.CROSS_ENTROPY, indices, np.zeros((0, 0)), every)
        self.goal = goal
        with torch.no_grad():
            loading = _loading(model)
            sources = model.runs if hasattr(loading, "matrix") else 1
            loaded = loading.leading(embeddings.expand(sources, *embeddings.shape))
        self.amplitudes = loaded.contiguous().numpy()
        self.model = _description(model)
        gates = [
            (len(part.gates) * count) << qubits
            for part, count, qubits in (
                (self.model.encoder, self.model.encoders, self.model.encoder_qubits),
                (self.model.head, 1, self.model.qubits),
            )
        ]
        self.cost = 1 + sum(gates)
        self.block = max(cpu.block_rows(circuit) for circuit in model.circuits.values())
        self._spaces: list[kernels.Space] = []
        self._pool: ThreadPoolExecutor | None = None

    def train(
        self,
        order: Int[np.ndarray, "runs rows"],
        batch_size: int,
        moments: tuple[np.ndarray, np.ndarray],
        before: int,
        rates: Float[np.ndarray, " runs"],
        decays: Float[np.ndarray, " runs"],
        active: np.ndarray,
    ) -> Float[np.ndarray, " runs"]:
        """An epoch of Adam over the rows in this order; the summed loss of each run.

        `moments` (changed in place) are Adam's; `before` is the number of steps taken until now.
        """
        runs, rows = order.shape
        tiles = -(-min(batch_size, rows) // LANES)
        workers, team = _teams(self._threads(), runs, tiles, self.cost)
        groups = workers // team
        steps = -(-rows // batch_size)
        at_once = max(1, _ONE_CALL // (self.cost * tiles * -(-runs // groups)))
        gradients = np.zeros((groups, tiles, self.weights.shape[1]), self.weights.dtype)
        losses = np.zeros((groups, tiles))
        total = np.zeros(runs)
        cuts = [runs * k // groups for k in range(groups + 1)]
        spaces = self._space(workers)
        for first in range(0, steps, at_once):
            counters = np.zeros((groups, 1), np.int64)
            stop = min(first + at_once, steps)

            def work(worker: int, first: int = first, stop: int = stop, c: Any = counters) -> None:
                group, member = divmod(worker, team)
                kernels.train(
                    cuts[group],
                    cuts[group + 1],
                    member,
                    team,
                    c[group],
                    self.model,
                    spaces[worker],
                    self.weights,
                    moments,
                    (first, stop, before),
                    rates,
                    decays,
                    active,
                    self.amplitudes,
                    self.goal,
                    order,
                    batch_size,
                    gradients[group],
                    losses[group],
                    total,
                )

            self._together(work, workers)
        return total

    def logits(self, rows: Int[np.ndarray, "runs rows"]) -> Float[np.ndarray, "runs rows outputs"]:
        """Logits of each run's rows."""
        runs, count = rows.shape
        found = np.zeros((runs, count, len(self.model.readout)), self.weights.dtype)
        items = runs * -(-count // LANES)
        workers = max(1, min(self._threads(), items, items * self.cost // 1_000_000))
        cuts = [items * k // workers for k in range(workers + 1)]
        spaces = self._space(workers)

        def work(worker: int) -> None:
            kernels.predict(
                cuts[worker],
                cuts[worker + 1],
                self.model,
                spaces[worker],
                self.weights,
                self.amplitudes,
                rows,
                found,
            )

        self._together(work, workers)
        return found

    def _together(self, work: Callable[[int], None], workers: int) -> None:
        """Call work(0), work(1), ... at the same time.

        A team's threads wait for each other, so none may be missing: they are this object's own, and this thread, which a signal may
        stop at any moment, is none of them.
        """
        if workers == 1:
            work(0)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(cpu.threads(), thread_name_prefix="hilbertune-train")
        for share in [self._pool.submit(work, worker) for worker in range(workers)]:
            share.result()

    def _threads(self) -> int:
        """As many threads as there are cores, and states for them in memory."""
        model = self.model
        amplitudes = (model.encoders << model.encoder_qubits) + (2 << model.qubits)
        needed = amplitudes * LANES * self.weights.itemsize
        if len(self._spaces) >= cpu.threads():
            return cpu.threads()
        if self._spaces:
            return min(cpu.threads(), len(self._spaces) + int(0.9 * cpu.memory()) // needed)
        cpu.require_memory(needed, f"{model.qubits} qubits", "use fewer qubits or encoders")
        return min(cpu.threads(), int(0.9 * cpu.memory()) // needed)

    def _space(self, workers: int) -> list[kernels.Space]:
        """Memory for each thread, kept from call to call."""
        model, dtype = self.model, self.weights.dtype
        small, large = 1 << model.encoder_qubits, 1 << model.qubits
        while len(self._spaces) < workers:
            self._spaces.append(
                kernels.Space(
                    cpu.empty((model.encoders, small, LANES), dtype),
                    cpu.empty((large, LANES), dtype),
                    cpu.empty((large, LANES), dtype),
                    cpu.empty((2, self.block, LANES), dtype),
                )
            )
        return self._spaces


def _description(model: "HybridHead") -> kernels.Model:
    """The model as the kernels read it."""
    config, at, place = model.config, {}, 0
    for name, parameter in model.named_parameters():
        at[name] = place
        place += parameter.numel() // model.runs
    head, encoder = model.circuits["head"], model.circuits["encoder"]
    if model.measured_qubits == model.outputs:
        readout = np.eye(model.outputs)
    else:
        readout = np.resize([1.0, -1.0], (model.outputs, model.measured_qubits))
    dtype = model.head.weights.detach().numpy().dtype
    loading = _loading(model)
    return kernels.Model(
        encoder=cpu.compiled(encoder, loading.width + (loading.free if loading.rest else 0)),
        head=cpu.compiled(head, 0),
        rest=loading.rest,
        encoders=config.encoders,
        encoder_qubits=encoder.qubits,
        encoder_weights=encoder.parameters,
        encoder_at=at["encoder.weights"],
        qubits=head.qubits,
        head_inputs=head.inputs,
        head_weights=head.parameters,
        head_at=at["head.weights"],
        average=config.merge == "average",
        angle_scale=float(config.angle_scale),
        linear_at=at.get("linear_weight", -1),
        bias_at=at.get("linear_bias", -1),
        readout=readout.astype(dtype),
    )


def _teams(threads: int, runs: int, tiles: int, cost: int) -> tuple[int, int]:
    """How many threads, and how many of them share a run's batches: what takes least time, counted in tiles."""
    if cost < _WORTH_A_TEAM or sys.platform == "win32":
        return min(threads, runs), 1
    team = min(
        range(1, min(threads, tiles) + 1),
        key=lambda team: -(-runs // min(runs, threads // team)) * -(-tiles // team),
    )
    return min(runs, threads // team) * team, team
