"""A whole model, and whole training steps, in one compiled call: what the CPU does while it trains and predicts.

In: a `HybridHead`, embeddings, and for training a goal. Out: logits; weights and moments after steps of Adam.
Nothing returns to Python between the steps of a call, whose work would take longer than the circuits of ten qubits.
"""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from hilbertune.config.records import Task
from hilbertune.engine import cpu, threads
from hilbertune.engine.lanes import qubits_in_lanes
from hilbertune.engine.rows import LANES
from hilbertune.model import goals, kernels, tasks
from hilbertune.model.readout import fixed_matrix

if TYPE_CHECKING:
    from hilbertune.model.layers import HybridHead
    from hilbertune.model.loading import AmplitudeLoading


LOADED_BYTES = 1 << 30
"""Amplitudes of all rows are loaded once if they take at most this many bytes."""


_ONE_CALL = 1_000_000_000
"""Rows times gates of a thread in one call, about a second: then the interpreter can answer a signal."""


_WORTH_A_TEAM = 20_000
"""Rows times gates of a tile (some 20 microseconds) from which two threads share a batch."""


def usable(model: "HybridHead", rows: int) -> bool:
    """Tell if a model's exact expectations can be computed this way: on the CPU, amplitudes loaded once.

    Circuits of other gates than RY and CNOT go through `expectation`, which writes them in these.
    """
    head = model.head
    return (
        head.engine in ("auto", "cpu")
        and head.weights.device.type == "cpu"
        and head.weights.dtype in (torch.float32, torch.float64)
        and head.shots is None
        and head.noise is None
        and len(model.circuits) == 2
        and all(circuit.plain for circuit in model.circuits.values())
        and _loadable(model, rows)
    )


def _loadable(model: "HybridHead", rows: int) -> bool:
    """Tell if amplitudes can be loaded once, before training: nothing in the loading is trained, and they fit."""
    loading = _loading(model)
    size = int(_sources(model)[-1] + 1) * rows * loading.taken * model.head.weights.element_size()
    return not loading.trainable and size <= LOADED_BYTES


def _loading(model: "HybridHead") -> "AmplitudeLoading":
    assert model.loading is not None, "a model without a quantum encoder is not usable here"
    return model.loading


def _sources(model: "HybridHead") -> Int[np.ndarray, " runs"]:
    """Return whose amplitudes each run loads, counted from 0; the heads of an ensemble share theirs, side by side."""
    sources = np.zeros(model.runs, np.int64)
    own = _loading(model).of_runs
    for run in range(1, model.runs if own else 0):
        sources[run] = sources[run - 1] + any(not torch.equal(values[run], values[run - 1]) for values in own)
    return sources


def goal_of(
    task: Task,
    targets: Shaped[Tensor, "rows *classes"],
    weights: Float[Tensor, "runs classes"] | None,
    outputs: int,
    rows: Float[Tensor, "runs rows"] | None = None,
) -> goals.Goal:
    """Return a task's loss as the kernels read it, from the weights of classes and of rows if there are any."""
    kind = {"classification": goals.CROSS_ENTROPY, "regression": goals.SQUARED}.get(task, goals.BINARY)
    labels, wanted = np.zeros(0, np.int64), np.zeros((0, 0))
    if kind == goals.CROSS_ENTROPY:
        labels = targets.numpy()
    else:
        wanted = tasks.logit_targets(task, targets, outputs).double().numpy()
    if weights is None:
        factors = np.ones((1, len(targets), 1))
    else:
        every = targets.expand(len(weights), *targets.shape)
        each = tasks.logit_weights(task, every, weights, tasks.logit_targets(task, every, outputs))
        factors = each.double().contiguous().numpy()
    if rows is not None:
        factors = np.ascontiguousarray(factors * rows.double().cpu().numpy()[:, :, None])
    return goals.Goal(kind, labels, np.ascontiguousarray(wanted), factors)


class Fused:
    """A model on the CPU with the rows it sees: `embeddings`, shared by all runs; for training labels or another goal.

    `weights` [runs, parameters] are what training changes, the tensor that the model's parameters view; if left out,
    they are a copy of what the parameters are now. `shots` are those of an expectation in training and the keys to draw
    them by; logits are exact. An object has memory of its own and serves one thread at a time.

    Raises:
        HilbertuneError: not even one thread's states fit into memory.
    """

    def __init__(
        self,
        model: "HybridHead",
        embeddings: Float[Tensor, "rows features"],
        labels: Int[Tensor, " rows"] | None = None,
        weights: Float[Tensor, "runs weights"] | None = None,
        goal: goals.Goal | None = None,
        shots: tuple[int, Int[np.ndarray, "runs 2"]] | None = None,
    ) -> None:
        if weights is None:
            weights = torch.cat([p.detach().flatten(1) for p in model.parameters()], dim=1)
        self.weights = weights.detach().numpy()
        if goal is None and labels is not None:
            goal = goal_of("classification", labels, None, model.outputs)
        self.goal = goal
        self.shots, self.keys = shots or (0, np.zeros((model.runs, 2), np.int64))
        self.sources = _sources(model)
        with torch.no_grad():
            firsts = torch.from_numpy(np.unique(self.sources, return_index=True)[1])
            loaded = _loading(model).leading(embeddings.expand(len(firsts), *embeddings.shape), firsts)
        self.amplitudes = loaded.contiguous().numpy()
        self.model = _description(model)
        self.samples = LANES >> self.model.head.lanes
        if model.standard is not None:
            shift, factor = (values.numpy() for values in model.standard)
            self.model = self.model._replace(shift=shift, factor=factor)
        gates = [
            (len(part.gates) * count) << qubits - self.model.head.lanes
            for part, count, qubits in (
                (self.model.encoder, self.model.encoders, self.model.encoder_qubits),
                (self.model.head, 1, self.model.qubits),
            )
        ]
        self.cost = 1 + sum(gates)
        self.block = max(cpu.block_rows(circuit, self.model.head.lanes) for circuit in model.circuits.values())
        self._spaces: list[kernels.Space] = []
        self._pool: ThreadPoolExecutor | None = None

    def train(
        self,
        order: Int[np.ndarray, "runs rows"],
        batch_size: int,
        moments: tuple[np.ndarray, np.ndarray],
        before: int,
        rates: Float[np.ndarray, "steps runs"],
        decays: Float[np.ndarray, " runs"],
        active: Bool[np.ndarray, " runs"],
        *,
        exact: bool = False,
    ) -> Float[np.ndarray, " runs"]:
        """Run an epoch of Adam over the rows in this order; return the summed loss of each run.

        `moments` (changed in place) are Adam's; `before` is the number of steps taken until now, `rates` are those of
        the epoch's steps, and `exact` leaves the shots out.
        """
        assert self.goal is not None, "training needs labels or a goal"
        runs, rows = order.shape
        tiles = -(-min(batch_size, rows) // self.samples)
        workers, team = _teams(self._fitting(threads.most_threads()), runs, tiles, self.cost)
        groups = workers // team
        cuts = [runs * k // groups for k in range(groups + 1)]
        gradients = np.zeros((groups, tiles, self.weights.shape[1]), self.weights.dtype)
        losses, total = np.zeros((groups, tiles)), np.zeros(runs)
        data = kernels.Data(
            self.amplitudes, self.sources, self.goal, order, batch_size, 0 if exact else self.shots, self.keys
        )
        adam = kernels.Adam(self.weights, *moments, rates, decays, active)
        spaces = self._space(workers)
        steps = -(-rows // batch_size)
        at_once = max(1, _ONE_CALL // (self.cost * tiles * -(-runs // groups)))
        for first in range(0, steps, at_once):
            counters = np.zeros((groups, 1), np.int64)
            part = first, min(first + at_once, steps), before

            def work(worker: int, part: tuple[int, int, int] = part, counters: np.ndarray = counters) -> None:
                group, member = divmod(worker, team)
                own = kernels.Team(cuts[group], cuts[group + 1], member, team, counters[group])
                sums = kernels.Sums(gradients[group], losses[group], total)
                kernels.train(own, self.model, spaces[worker], data, adam, part, sums)

            self._together(work, workers)
        return total

    def logits(self, rows: Int[np.ndarray, "runs rows"]) -> Float[np.ndarray, "runs rows outputs"]:
        """Return the logits of each run's rows."""
        runs, count = rows.shape
        logits = np.zeros((runs, count, len(self.model.readout)), self.weights.dtype)
        items = runs * -(-count // self.samples)
        workers = max(1, self._fitting(threads.threads_for(items, self.cost, threads.most_threads())))
        cuts = [items * k // workers for k in range(workers + 1)]
        spaces, loaded = self._space(workers), (self.amplitudes, self.sources)

        def work(worker: int) -> None:
            start, stop = cuts[worker], cuts[worker + 1]
            kernels.predict(start, stop, self.model, spaces[worker], self.weights, loaded, rows, logits)

        self._together(work, workers)
        return logits

    def _together(self, work: Callable[[int], None], workers: int) -> None:
        """Call work(0), work(1), ... at the same time.

        A team's threads wait for each other, so none may be missing: they are this object's own, and this thread, which
        a signal may stop at any moment, is not one of them.
        """
        if workers == 1:
            work(0)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(threads.most_threads(), thread_name_prefix="hilbertune-train")
        for share in [self._pool.submit(work, worker) for worker in range(workers)]:
            share.result()

    def _fitting(self, wanted: int) -> int:
        """Return how many of the threads wanted have room for their states in memory."""
        if len(self._spaces) >= wanted:
            return wanted
        model = self.model
        amplitudes = (model.encoders << model.encoder_qubits) + (2 << model.qubits)
        needed = amplitudes * self.samples * self.weights.itemsize
        if not self._spaces:
            threads.require_memory(needed, f"{model.qubits} qubits", "use fewer qubits or encoders")
        if wanted == 1:
            return 1
        return min(wanted, len(self._spaces) + int(0.9 * threads.memory() / needed))

    def _space(self, workers: int) -> list[kernels.Space]:
        """Return memory for each thread, kept from call to call."""
        model, dtype = self.model, self.weights.dtype
        lanes = model.head.lanes
        small, large = 1 << model.encoder_qubits - lanes, 1 << model.qubits - lanes
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


_DESCRIPTIONS: "WeakKeyDictionary[HybridHead, dict[torch.dtype, kernels.Model]]" = WeakKeyDictionary()
"""Earlier descriptions: a model's shape never changes; its weights are read anew by every `Fused`."""


_DESCRIBING = threading.Lock()


def _description(model: "HybridHead") -> kernels.Model:
    """Return the model as the kernels read it, made once for a model and a type of numbers."""
    with _DESCRIBING:
        known = _DESCRIPTIONS.setdefault(model, {})
        dtype = model.head.weights.dtype
        if dtype not in known:
            known[dtype] = _described(model)
        return known[dtype]


def _described(model: "HybridHead") -> kernels.Model:
    config, at, place = model.config, {}, 0
    for name, parameter in model.named_parameters():
        at[name] = place
        place += parameter.numel() // model.runs
    head, encoder, loading = model.circuits["head"], model.circuits["encoder"], _loading(model)
    lanes = min(qubits_in_lanes(max(head.qubits, encoder.qubits)), head.qubits, encoder.qubits)
    # A final linear layer is read from the weights; then only the shape of this matrix counts.
    linear = np.zeros((model.outputs, model.measured_qubits))
    readout = linear if config.final_linear else fixed_matrix(model.outputs, model.measured_qubits)
    dtype = model.head.weights.detach().numpy().dtype
    every = (model.runs, model.measured_qubits)
    return kernels.Model(
        encoder=cpu.compiled(encoder, loading.taken + (loading.free if loading.rest else 0), lanes),
        head=cpu.compiled(head, 0, lanes),
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
        angle_scale=1.0 if "input_factor" in at else float(config.angle_scale),
        factor_at=at.get("input_factor", -1),
        shift_at=at.get("input_shift", -1),
        linear_at=at.get("linear_weight", -1),
        bias_at=at.get("linear_bias", -1),
        readout=readout.astype(dtype),
        shift=np.zeros(every, dtype),
        factor=np.ones(every, dtype),
    )


def _teams(most: int, runs: int, tiles: int, cost: int) -> tuple[int, int]:
    """Return how many of `most` threads to use, and how many of them share a run's batches: least time, in tiles."""
    if cost < _WORTH_A_TEAM or sys.platform == "win32":
        return min(most, runs), 1
    team = min(
        range(1, min(most, tiles) + 1),
        key=lambda team: -(-runs // min(runs, most // team)) * -(-tiles // team),
    )
    return min(runs, most // team) * team, team
