"""Circuits: the table of gates that everything else reads, its builders, bindings, drawings and exports.

In: numbers of qubits and layers, or a `HeadConfig`.
Out: circuits, their counts, pictures and conversions, and circuits with their angles bound.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "table": ["Circuit"],
        "kinds": ["KINDS", "Kind", "Operation", "Part"],
        "builders": ["ansatz", "head", "head_blocks", "parameter_count", "parts"],
        "binding": ["BoundCircuit", "bind"],
        "gates": ["Gate"],
        "lowering": ["Lowered", "lowered"],
        "observables": ["Observable"],
        "sources": ["circuit_text"],
        "drawing": ["draw_image", "draw_on", "draw_text"],
    },
)
