"""Joules of the work in a window of time, from the machine's meters (GPUs of NVIDIA and AMD, processors with RAPL).

In: a block, a function or a command; zeus (extra `energy`) reads meters, which count all that runs on their device.
Out: an `Energy` with the joules of each source; a source without a meter is None, never a guess.
"""

import contextlib
import importlib.util
import itertools
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hilbertune.errors import HilbertuneError, require
from hilbertune.runtime import children

T = TypeVar("T")

MINIMUM_SECONDS = 0.5
"""Shortest time worth measuring, for which shorter work is repeated: counters move some 10 to 1000 times a second."""

_METERS = {
    "gpu": ("/dev/nvidiactl", "/dev/kfd"),
    "cpu": ("/sys/class/powercap/intel-rapl", "/zeus_sys/class/powercap/intel-rapl"),
}
"""Files by which a machine shows that it has a meter; RAPL also counts AMD's processors."""


@dataclass(frozen=True)
class Energy:
    """A window of time in seconds, and the joules of each source in it ("gpu 0", "dram 0"; None: not measured)."""

    seconds: float
    sources: dict[str, float | None] = field(default_factory=dict)

    @property
    def joules(self) -> float | None:
        """The sum over the sources that were measured, None if none was; `unmeasured` names those it leaves out."""
        known = [value for value in self.sources.values() if value is not None]
        return sum(known) if known else None

    @property
    def unmeasured(self) -> list[str]:
        """The sources without a meter."""
        return [name for name, value in self.sources.items() if value is None]

    def over(self, count: int) -> "Energy":
        """Return the share of one of `count` equal pieces of work."""
        shares = {k: None if v is None else v / count for k, v in self.sources.items()}
        return Energy(self.seconds / count, shares)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "seconds": self.seconds,
            "joules": self.joules,
            "method": "measured" if self.joules is not None else None,
            "sources": self.sources,
            "unmeasured": self.unmeasured,
        }


@dataclass
class Window:
    """A window of time; once it is closed, `energy` is set."""

    energy: Energy = field(default_factory=lambda: Energy(0.0))


def present() -> dict[str, bool]:
    """Return which meters ("gpu", "cpu") this machine has, going by its files; no library is loaded."""
    return {kind: any(Path(p).exists() for p in places) for kind, places in _METERS.items()}


class Meter:
    """The meters of this machine.

    Zeus starts a process that watches RAPL's counters for overflow: a script that opens a meter needs
    `if __name__ == "__main__":`, like every script that starts processes.

    Raises:
        MissingExtraError: the machine has a meter, and the extra `energy` is not installed.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._zeus = None
        if any(present().values()):
            monitor = require("zeus.monitor", "energy")
            logging.getLogger("zeus").setLevel(logging.ERROR)
            self._zeus = _opened(monitor)

    @property
    def works(self) -> bool:
        """True if there is a meter to read."""
        return self._zeus is not None

    @contextlib.contextmanager
    def window(self) -> Iterator[Window]:
        """Measure the block; the window holds the result once the block has ended. Windows may overlap."""
        made, key = Window(), f"hilbertune {next(self._numbers)}"
        if self._zeus is not None:
            self._zeus.begin_window(key)
        started = time.perf_counter()
        try:
            yield made
        except BaseException:
            if self._zeus is not None:
                self._zeus.end_window(key, cancel=True)
            raise
        seconds = time.perf_counter() - started
        with warnings.catch_warnings():
            # Zeus warns of a counter that stood still; None says the same.
            warnings.simplefilter("ignore")
            measurement = None if self._zeus is None else self._zeus.end_window(key)
        made.energy = Energy(seconds, _sources(measurement))


def _opened(monitor: Any) -> Any:
    """Return a monitor from zeus's module, or log a warning and return None if it cannot be opened."""
    try:
        return monitor.ZeusMonitor()
    except Exception as error:
        # Drivers fail in many ways, and a meter must not stop the work that it should measure.
        logging.getLogger(__name__).warning("No energy is measured: %s", error)
        return None


def _sources(measurement: Any) -> dict[str, float | None]:
    """Return the joules of each source; a counter that stood still or ran backwards has measured nothing."""
    read: dict[str, dict[int, float]] = {"gpu": {}, "cpu": {}, "dram": {}}
    if measurement is not None:
        read = {kind: getattr(measurement, f"{kind}_energy") or {} for kind in read}
    sources: dict[str, float | None] = {
        f"{kind} {number}": float(joules) if joules > 0 else None
        for kind, values in read.items()
        for number, joules in values.items()
    }
    lacking = ["cpu", "dram"] + (["gpu"] if present()["gpu"] else [])
    return sources | {kind: None for kind in lacking if not read[kind]}


_meter: ContextVar[Meter | None] = ContextVar("meter", default=None)


@contextlib.contextmanager
def metering() -> Iterator[None]:
    """Let `window` measure within the block; without the extra or without a meter it counts seconds alone."""
    token = _meter.set(Meter() if importlib.util.find_spec("zeus") is not None else None)
    try:
        yield
    finally:
        _meter.reset(token)


@contextlib.contextmanager
def window() -> Iterator[Window]:
    """Measure the block with the meter of `metering`, or outside of `metering` its seconds alone."""
    meter = _meter.get()
    if meter is not None:
        with meter.window() as made:
            yield made
        return
    made, started = Window(), time.perf_counter()
    yield made
    made.energy = Energy(time.perf_counter() - started)


def each(work: Callable[[], T], minimum: float = 0.0) -> tuple[T, Energy]:
    """Return the answer of `work` and the cost of one call.

    Work is repeated until `minimum` seconds have passed, with a meter at least MINIMUM_SECONDS.
    """
    meter = _meter.get()
    if meter is not None and meter.works:
        minimum = max(minimum, MINIMUM_SECONDS)
    calls, started = 0, time.perf_counter()
    with window() as made:
        while calls == 0 or time.perf_counter() - started < minimum:
            answer = work()
            calls += 1
    return answer, made.energy.over(calls)


def of_predictions(training: float | None, predicting: Energy, rows: int, right: float) -> dict[str, float | None]:
    """Return what a training, 1,000 predictions and a right prediction cost, None where no joules were measured.

    Args:
        training: joules of one training.
        predicting: the cost of all predictions.
        rows: number of predictions.
        right: number of right predictions.
    """
    joules = predicting.joules
    return {
        "joules_per_training": training,
        "joules_per_1000_predictions": None if joules is None else 1000 * joules / rows,
        "joules_per_correct_prediction": None if joules is None or not right else joules / right,
        "seconds_per_1000_predictions": 1000 * predicting.seconds / rows,
    }


def measure(command: Sequence[str], *, output: int | None = None) -> tuple[Energy, int]:
    """Run a command with this process's input and output; return its cost and its exit code.

    `output` is a descriptor that takes the command's standard output instead. Signals that would end this process end
    the command, whose cost until then is returned.

    Raises:
        HilbertuneError: there is no such command.
        MissingExtraError: the machine has a meter, and the extra `energy` is not installed.
    """
    meter = Meter()
    sys.stdout.flush()
    with meter.window() as made:
        try:
            code = children.run(command, output)
        except (OSError, ValueError) as error:
            raise HilbertuneError(f"Cannot run {command[0]}: {getattr(error, 'strerror', error)}.") from error
    return made.energy, code
