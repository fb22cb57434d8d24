"""The hybrid head: its layers, its tasks, its training.

In: embeddings, targets, a split, settings.
Out: trained heads, curves, logits, metrics.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "layers": ["HybridHead", "QuantumEncoder", "QuantumHead"],
        "training": ["TrainingResult", "train"],
        "tasks": ["losses", "metrics", "probabilities"],
        "evaluation": ["logits"],
    },
)
