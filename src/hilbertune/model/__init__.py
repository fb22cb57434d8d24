"""The hybrid model: its layers, its tasks, its training and what is measured of it.

In: embeddings, targets, splits, settings.
Out: trained heads, curves, logits, metrics with intervals.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "layers": ["HybridHead", "QuantumEncoder", "QuantumHead"],
        "readout": ["fixed_matrix", "in_double", "logits_of"],
        "training": ["TrainingResult", "checkpoint_for", "train"],
        "checkpoint": ["Checkpoint"],
        "selection": ["rank"],
        "tasks": ["losses", "metrics", "probabilities"],
        "scaling": ["Scale"],
        "evaluation": ["logits"],
        "intervals": ["over_rows", "over_seeds", "t_interval"],
    },
)
