"""One large state on all cores: threads share the blocks of each pass, where there are fewer samples than threads.

In: an item of work, memory, threads. Out: what `kernels.forward` and `backward` give for the item, bit for bit.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float

from hilbertune.engine import kernels
from hilbertune.engine.gates import GROUPS, run_blocks, undo_blocks
from hilbertune.engine.program import Program
from hilbertune.engine.rows import LANES
from hilbertune.engine.threads import most_threads, spread, threads_for


def worth_it(program: Program, items: int, rows: int) -> bool:
    """Tell if more threads find work in the blocks of a state of that many rows than in the items."""
    most = most_threads()
    blocks = max((_blocks(program, number) for number in range(len(program.passes))), default=1)
    in_blocks = threads_for(blocks, rows * len(program.gates) // (len(program.passes) or 1) // blocks, most)
    return in_blocks > threads_for(items, rows * len(program.gates), most)


def forward(
    work: kernels.Work,
    amplitudes: Float[np.ndarray, "runs batch amplitudes"],
    memory: kernels.Memory,
    outcome: kernels.Outcome,
) -> None:
    """Run the items one after another and measure."""
    turns = _turns(work, len(outcome.measured), memory.states.dtype)
    for item in range(work.start, work.stop):
        state = memory.states[item if len(memory.states) > 1 else 0]
        kernels.begin(work, item, amplitudes, state, turns)
        for number in range(len(work.program.passes)):
            spread(
                partial(_run, work.program, number, state, memory.blocks, turns),
                _blocks(work.program, number),
                _cost(work.program, number),
            )
        kernels.finish(work, item, state, memory.scratch[0], turns, outcome)


def backward(work: kernels.Work, memory: kernels.Memory, slopes: kernels.Slopes) -> None:
    """Take the items' derivatives one after another."""
    turns = _turns(work, slopes.by_value.shape[2], memory.states.dtype)
    psi, lam = memory.scratch
    for item in range(work.start, work.stop):
        kernels.begin_back(work, item, memory, turns, slopes)
        for number in reversed(range(len(work.program.passes))):
            every = _blocks(work.program, number)
            groups = min(every, GROUPS)
            parts = np.zeros((groups, *turns.by_angle.shape), turns.by_angle.dtype)
            undo = partial(_undo, work.program, number, (psi, lam), memory.blocks, turns, parts)
            spread(undo, groups, _cost(work.program, number) * every // groups)
            for part in parts:
                turns.by_angle[:] += part
        kernels.finish_back(work, item, lam, turns, slopes)


def _run(
    program: Program, number: int, state: np.ndarray, blocks: np.ndarray, turns: kernels.Turns
) -> Callable[[int, int], None]:
    """Return what runs a pass on a range of its blocks, with memory of its own for copies like `blocks`."""
    copy = np.empty_like(blocks[0])
    return lambda start, stop: run_blocks(state, copy, program, number, (start, stop), turns.cosine, turns.sine)


def _undo(
    program: Program,
    number: int,
    states: tuple[np.ndarray, np.ndarray],
    blocks: np.ndarray,
    turns: kernels.Turns,
    parts: np.ndarray,
) -> Callable[[int, int], None]:
    """Return what undoes a pass on a range of groups of its blocks, whose slopes go to `parts`."""
    copies, every = np.empty_like(blocks), _blocks(program, number)

    def work(start: int, stop: int) -> None:
        for group in range(start, stop):
            own = group * every // len(parts), (group + 1) * every // len(parts)
            undo_blocks(*states, copies, program, number, own, turns.cosine, turns.sine, parts[group])

    return work


def _blocks(program: Program, number: int) -> int:
    """Return how many blocks a pass has."""
    return 1 << int(program.passes[number, 3]).bit_count()


def _cost(program: Program, number: int) -> int:
    """Return rows times gates of a block."""
    first, stop, window, _ = map(int, program.passes[number])
    return (stop - first) << window.bit_count()


def _turns(work: kernels.Work, qubits: int, dtype: np.dtype) -> kernels.Turns:
    angles = (work.program.angles + 1, LANES)
    shapes = (angles, angles, (3, work.inputs[0].shape[2], LANES), (qubits, LANES), angles)
    return kernels.Turns(*(np.empty(shape, dtype) for shape in shapes))
