"""Every hyperparameter, declared once: name, letter of the publication, default, range, help.

In: numbers and names.
Out: frozen records, which are checked when they are made.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "fields": ["Checked", "choices", "hyperparameter", "limits_text"],
        "noise": ["NOISE_PRESETS", "Noise"],
        "records": [
            "DEFAULT_PAIRS",
            "EMBEDDED_MODEL",
            "MAX_QUBITS",
            "PRESETS",
            "VALIDATION",
            "HeadConfig",
            "InputConfig",
            "MachineConfig",
            "TrainingConfig",
            "TuningConfig",
        ],
    },
)
