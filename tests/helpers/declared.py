"""The declared defaults of what an estimator leaves to the data: results from before that was so have them.

In: nothing.
Out: keyword arguments of an estimator.
"""

from typing import Any

DECLARED: dict[str, Any] = {
    "qubits": 10,
    "encoder_layers": 4,
    "reuploads": 4,
    "constant_share": 0.8,
    "basis": "raw",
    "scale": "none",
    "norm": "drop",
    "learning_rate": 0.005,
    "schedule": "decay",
    "keep": "best",
    "standardise": False,
    "training_shots": None,
    "exact_start": 0.0,
}


def declared(**changes: Any) -> dict[str, Any]:
    """Return the declared defaults with some changes."""
    return {**DECLARED, **changes}
