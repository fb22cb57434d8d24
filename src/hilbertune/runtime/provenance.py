"""What a result was made with: versions, hardware, git commit.

In: nothing. Out: a dictionary for `environment.json`; what cannot be found out is None, never a guess.
"""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from hilbertune.runtime import processes

PACKAGES = (
    "hilbertune",
    "torch",
    "numpy",
    "numba",
    "scipy",
    "scikit-learn",
    "safetensors",
    "sentence-transformers",
    "transformers",
)


def environment() -> dict[str, Any]:
    """Versions, hardware and commit of this run; `energy_joules` is None until a meter says otherwise (hilbertune.energy)."""
    import torch

    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": processes.count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "git_commit": _commit(),
        "energy_joules": None,
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or None
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or None


def _commit() -> str | None:
    """The commit of the package's own checkout, None for an installed package or where git does not answer."""
    here = Path(__file__).resolve().parent
    if here.parent.name != "src":
        return None
    command = ["git", "-C", str(here), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
