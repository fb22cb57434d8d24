"""Running circuits: exact, sampled and noisy expectations with their gradients, on any device.

In: a circuit and tensors with a leading `runs` axis.
Out: <Z> of the measured qubits, differentiable.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "expectations": ["expectation"],
        "noise": ["with_error"],
        "sampling": ["Engine"],
        "states": ["probabilities", "samples", "state"],
        "tensor_network": ["Contraction", "TensorNetwork", "contract"],
    },
)
