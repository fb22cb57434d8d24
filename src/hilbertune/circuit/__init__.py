"""What a circuit is: one table of gates that everything else reads.

In: numbers of qubits and layers.
Out: circuits, their counts, drawings, exports, and the same with their angles bound.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "table": ["Circuit", "Operation"],
        "builders": ["ansatz", "head", "parts"],
        "binding": ["BoundCircuit", "Gate", "bind"],
        "drawing": ["draw_image", "draw_on", "draw_text"],
    },
)
