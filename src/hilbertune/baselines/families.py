"""The classical heads that a study can tune, by the name that its YAML writes.

In: a name.
Out: the settings to try, and a function that fits one of them.
"""

from functools import partial

from hilbertune.baselines.matched import (
    matched_linear,
    matched_linear_axes,
    matched_mlp,
    matched_mlp_axes,
    matched_selection,
    matched_selection_axes,
)
from hilbertune.baselines.quadratic import matched_quadratic, matched_quadratic_axes
from hilbertune.baselines.trials import Family, always, scale
from hilbertune.baselines.tuned import (
    neighbour_axes,
    tuned_bagged_logistic,
    tuned_boosting,
    tuned_linear_svm,
    tuned_logistic,
    tuned_mlp,
    tuned_neighbours,
    tuned_noisy_logistic,
    tuned_rbf_svm,
)

HIDDEN = (0, 48, 96, 144, 192)
"""Hidden units of the published perceptrons."""

FAMILIES: dict[str, Family] = {
    "logistic regression": Family(always(C=scale(1e-2, 1e2)), tuned_logistic),
    "bagged logistic regression": Family(always(C=scale(1e-2, 1e2)), tuned_bagged_logistic),
    "noisy logistic regression": Family(always(C=scale(1e-2, 1e2), noise=scale(1e-1, 3.0)), tuned_noisy_logistic),
    "linear SVM": Family(always(C=scale(1e-3, 1e1)), tuned_linear_svm),
    "RBF SVM": Family(always(C=scale(1e-1, 3e1), gamma=scale(3e-2, 3.0)), tuned_rbf_svm),
    "RBF SVM C=1": Family(always(C=[1.0], gamma=[1.0]), tuned_rbf_svm),
    "RBF SVM C=100": Family(always(C=[100.0], gamma=[1.0]), tuned_rbf_svm),
    **{
        f"MLP {hidden}": Family(
            always(learning_rate=scale(3e-4, 3e-2), alpha=scale(1e-2, 3.0)),
            partial(tuned_mlp, hidden),
        )
        for hidden in HIDDEN
    },
    "k-NN": Family(neighbour_axes, tuned_neighbours),
    "gradient boosting": Family(always(learning_rate=scale(2e-2, 5e-1), depth=[1, 2, 3, 4]), tuned_boosting),
    "matched linear": Family(matched_linear_axes, matched_linear),
    "matched MLP": Family(matched_mlp_axes, matched_mlp),
    "matched quadratic": Family(matched_quadratic_axes, matched_quadratic),
    "matched feature selection": Family(matched_selection_axes, matched_selection),
}
"""All families, by the name that a study's YAML writes."""
