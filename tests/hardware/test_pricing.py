"""Published prices, worked out by hand."""

import pytest

from hilbertune.hardware.pricing import formula


def test_published_formulas() -> None:
    # Ten qubits, 150 two- and 160 one-qubit gates, 8192 shots: worked out by hand.
    azure = formula("azure", 8192, 160, 150)["cost"]
    assert azure == pytest.approx(8192 * (160 * 0.000220 + 150 * 0.000975))
    assert formula("azure", 1, 1, 1)["cost"] == 12.4166
    assert formula("braket", 8192, 160, 150)["cost"] == pytest.approx(655.66)
