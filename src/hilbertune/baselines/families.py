"""Classical heads on the same embeddings and the same splits, so that every quantum result has its yardstick beside it.

In: training embeddings, and how many parameters the quantum head has. Out: a fitted model with scikit-learn's `predict`, and its parameter count.
BASELINES are the four with fixed settings that `fit` prints; FAMILIES are those that a study tunes. "Matched" is what is no larger than the quantum head.
"""

from functools import partial

from hilbertune.baselines.matched import (
    matched_linear,
    matched_linear_trials,
    matched_mlp,
    matched_mlp_trials,
    matched_selection,
    matched_selection_trials,
)
from hilbertune.baselines.quadratic import matched_quadratic, matched_quadratic_trials
from hilbertune.baselines.tuned import (
    Family,
    neighbour_trials,
    scale,
    tuned,
    tuned_boosting,
    tuned_linear_svm,
    tuned_logistic,
    tuned_mlp,
    tuned_neighbours,
    tuned_rbf_svm,
)

HIDDEN = (0, 48, 96, 144, 192)
"""Hidden units of the published perceptrons."""


FAMILIES: dict[str, Family] = {
    "logistic regression": Family(tuned(C=scale(1e-2, 1e2)), tuned_logistic),
    "linear SVM": Family(tuned(C=scale(1e-3, 1e1)), tuned_linear_svm),
    "RBF SVM": Family(tuned(C=scale(1e-1, 3e1), gamma=scale(3e-2, 3.0)), tuned_rbf_svm),
    "RBF SVM C=1": Family(tuned(C=[1.0], gamma=[1.0]), tuned_rbf_svm),
    "RBF SVM C=100": Family(tuned(C=[100.0], gamma=[1.0]), tuned_rbf_svm),
    **{
        f"MLP {hidden}": Family(
            tuned(learning_rate=scale(3e-4, 3e-2), alpha=scale(1e-2, 3.0)),
            partial(tuned_mlp, hidden),
        )
        for hidden in HIDDEN
    },
    "k-NN": Family(neighbour_trials, tuned_neighbours),
    "gradient boosting": Family(tuned(learning_rate=scale(2e-2, 5e-1), depth=[1, 2, 3, 4]), tuned_boosting),
    "matched linear": Family(matched_linear_trials, matched_linear),
    "matched MLP": Family(matched_mlp_trials, matched_mlp),
    "matched quadratic": Family(matched_quadratic_trials, matched_quadratic),
    "matched feature selection": Family(matched_selection_trials, matched_selection),
}
"""By the name that a study's YAML writes."""
