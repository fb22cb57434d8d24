"""Raw items to vectors through a foundation model, cached on disk by content.

In: texts, pairs of texts, images, sounds or SMILES, and a model's name or folder.
Out: float32 vectors, one row an item.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "embedder": ["Embedder"],
        "folders": ["model_folder"],
    },
)
