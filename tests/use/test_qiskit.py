"""Qiskit's primitives on this engine against Qiskit's own."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import efficient_su2
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp, Statevector

from hilbertune.errors import HilbertuneError
from hilbertune.use.qiskit import HilbertuneEstimator, HilbertuneSampler


def test_estimates_of_every_value_and_observable() -> None:
    made = efficient_su2(3, reps=1)
    values = np.random.default_rng(0).normal(size=(4, made.num_parameters))
    observables = [[SparsePauliOp(["ZZI", "IXY"], [0.5, 2.0])], [SparsePauliOp(["III", "YII"], [1, -1.0])]]
    found, expected = (
        estimator.run([(made, observables, values)]).result()[0].data.evs
        for estimator in (HilbertuneEstimator(), StatevectorEstimator())
    )
    assert found.shape == (2, 4)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_precision_adds_errors_of_that_size() -> None:
    made = QuantumCircuit(1)
    made.ry(Parameter("t"), 0)
    pub = (made, SparsePauliOp("Z"), np.zeros((2000, 1)))
    data = HilbertuneEstimator(seed=0).run([pub], precision=0.1).result()[0].data
    assert data.evs.std() == pytest.approx(0.1, rel=0.1)
    assert data.evs.mean() == pytest.approx(1.0, abs=0.01)


def test_samples_of_registers_in_any_order() -> None:
    made = QuantumCircuit(3, 2)
    made.ry(Parameter("t"), 0)
    made.cx(0, 2)
    made.rx(0.3, 1)
    whole = made.copy()
    made.measure([2, 1], [0, 1])
    data = HilbertuneSampler(seed=0).run([(made, [0.1, 1.5])], shots=40_000).result()[0].data.c
    for place, value in enumerate((0.1, 1.5)):
        shares = Statevector(whole.assign_parameters([value])).probabilities([2, 1])
        counts = data[place].get_counts()
        np.testing.assert_allclose([counts.get(f"{k:02b}", 0) / 40_000 for k in range(4)], shares, atol=0.012)


def test_what_cannot_run_is_refused() -> None:
    made = QuantumCircuit(1)
    with pytest.raises(HilbertuneError, match="measures nothing"):
        HilbertuneSampler().run([(made,)])
    with pytest.raises(HilbertuneError, match="made of I, X, Y and Z"):
        HilbertuneEstimator().run([(made, "0")]).result()
