"""The readout: logits from the head's expectations, by the final linear layer or by a fixed matrix where there is none.

In: expectations [..., measured], and a model for its matrix and bias.
Out: logits [..., outputs].
"""

from typing import TypeVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from hilbertune.errors import HilbertuneError

Values = TypeVar("Values", np.ndarray, Tensor)


def fixed_matrix(outputs: int, measured: int) -> Float[np.ndarray, "outputs measured"]:
    """Return the matrix that stands in for a final linear layer: the identity, or <Z> and -<Z> as the two logits.

    Raises:
        HilbertuneError: the expectations are neither the logits nor the one of two.
    """
    if measured == outputs:
        return np.eye(outputs)
    if (outputs, measured) == (2, 1):
        return np.array([[1.0], [-1.0]])
    raise HilbertuneError(
        f"Without the final linear layer {outputs} outputs need measured_qubits = {outputs}"
        f"{' or 1' if outputs == 2 else ''}, not {measured}."
    )


def in_double(
    weight: Float[Tensor, "1 outputs measured"], bias: Float[Tensor, "1 outputs"]
) -> tuple[Float[np.ndarray, "outputs measured"], Float[np.ndarray, " outputs"]]:
    """Return copies of a single model's matrix and bias in double precision."""
    matrix, offset = (t[0].detach().double().cpu().numpy().copy() for t in (weight, bias))
    return matrix, offset


def logits_of(expectations: Values, matrix: Values, bias: Values) -> Values:
    """Return the logits [..., outputs] of expectations [..., measured].

    The matrix is [..., outputs, measured] and the bias [..., outputs].
    """
    # A product and a sum rather than a matrix product: the same bits, however many rows and runs stand side by side.
    logits: Values = (expectations[..., None, :] * matrix).sum(-1) + bias
    return logits
