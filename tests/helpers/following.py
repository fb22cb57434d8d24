"""A callback that writes down what it is told.

In: events of a training.
Out: a list of (event, stage, epoch), and the last state.
"""

from typing import Any

from hilbertune.model.callbacks import EVENTS


class Recorder:
    """Every event, in order; it derives from nothing, as a callback need not."""

    def __init__(self, *, stop_after: float | None = None) -> None:
        self.events: list[tuple[str, str, float]] = []
        self.stop_after = stop_after
        self.states: dict[str, Any] = {}
        self.given: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name not in EVENTS:
            raise AttributeError(name)

        def note(args: Any, state: Any, control: Any, **more: Any) -> None:
            self.events.append((name, state.stage, state.epoch))
            self.states[state.stage] = state
            self.given = {"args": args, **more}
            if name == "on_epoch_end" and self.stop_after is not None and state.epoch >= self.stop_after:
                control.should_training_stop = True

        return note

    def of(self, event: str, stage: str = "training") -> list[float]:
        """Return the epochs at which an event of a stage was told."""
        return [epoch for name, where, epoch in self.events if (name, where) == (event, stage)]
