"""Experiments and studies: one configuration over seeds, or a YAML file of many, trained, tested and compared.

In: settings or a study file, and labelled embeddings.
Out: models and figures, a table of runs that survives crashes, results.json.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "bases": ["read_bases"],
        "configuration": ["read_study"],
        "plan": ["Arm", "Data", "Study", "TrainingRun"],
        "running": ["run_study"],
        "estimate": ["estimate_study"],
        "comparison": ["compare", "holm", "main_effects", "summary"],
        "experiment": ["Examples", "run_experiment", "run_tuned"],
        "outcome": ["Outcome", "save_outcome"],
        "record": ["Results"],
    },
)
