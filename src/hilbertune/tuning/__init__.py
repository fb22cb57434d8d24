"""A foundation model that learns: from pairs of texts, or together with the head above it.

In: an embedder, labelled texts, settings.
Out: the tuned base as a folder, and the head that belongs to it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "records": ["LabelledTexts", "Settings"],
        "stages": ["Trained", "train_with_base"],
        "contrastive": ["train_contrastive"],
        "joint": ["JointResult", "train_joint"],
        "twin": ["Twin", "train_twin"],
    },
)
