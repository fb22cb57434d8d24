"""The findings of a study, for people: one HTML page, figures as SVG, PNG and CSV, and copies in trackers.

In: a study's directory.
Out: report.html, figures/, runs in TensorBoard, MLflow or Weights & Biases.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "page": ["write_report"],
        "tracking": ["Mirror", "TrackedRun", "copy_runs", "mirrors", "of_fit", "of_study"],
    },
)
