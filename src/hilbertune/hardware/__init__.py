"""The head on quantum hardware: estimated, capped, written down, sent, collected, compared.

In: a trained model, a provider, a spending limit.
Out: measured expectations, a ledger of every paid job, figures.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "backend": ["HardwareBackend"],
        "jobs": ["JobRunner"],
        "pricing": ["Estimate", "formula"],
        "provider": ["LostAnswerError", "NotThereError", "Provider"],
        "ionq": ["IonQ"],
        "qiskit_provider": ["QiskitProvider", "braket", "ibm", "local"],
        "ledger": ["Batch", "Ledger"],
        "adaptive": ["Decisions", "decide"],
        "recalibration": ["Recalibration", "recalibrate", "spsa_steps"],
        "measurement": ["MeasuredRun", "angles_of", "bind_rows", "create_run", "read_run"],
        "options": ["Options"],
        "results": ["calibration", "write_results"],
        "breakeven": ["measure_simulator"],
        "fits": ["crossing"],
        "picture": ["draw_breakeven", "draw_hardware"],
    },
)
