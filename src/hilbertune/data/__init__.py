"""Labelled data: reading, checks, labels, splits, molecules.

In: files, datasets, streams, SMILES.
Out: texts or embeddings with labels, and the rows that train, validate and test.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "files": ["Labelled", "read_labelled"],
        "streams": ["stream_texts"],
        "arrays": ["read_embeddings"],
        "checks": ["check_embeddings", "checked_text"],
        "labels": ["encode_labels", "label_indices", "label_targets"],
        "splits": ["Split", "few_shot_split"],
        "packages": ["demo_sentences", "package_folder"],
        "molecules": ["check_smiles", "fingerprints", "scaffold_split", "scaffolds", "usable_rows"],
    },
)
