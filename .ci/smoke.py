"""Train, save, load and predict with an installed Hilbertune.

In: the folder of the model, which must not exist. Out: nothing; an error ends it.
"""

import sys
from pathlib import Path

import numpy as np

import hilbertune
from hilbertune import HybridClassifier

assert "site-packages" in str(hilbertune.__file__), hilbertune.__file__
labels = np.arange(60) % 2
rows = np.random.default_rng(0).normal(size=(60, 5)) + 3.0 * labels[:, None]
model = HybridClassifier(random_state=0).fit(rows[:40], labels[:40])
model.save_pretrained(sys.argv[1])
loaded = HybridClassifier.from_pretrained(sys.argv[1])
assert np.array_equal(loaded.predict(rows), model.predict(rows))
assert loaded.score(rows[40:], labels[40:]) > 0.9
assert (Path(hilbertune.__file__).parent / "py.typed").exists()
