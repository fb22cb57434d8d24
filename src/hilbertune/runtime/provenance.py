"""The environment in which a result was made: versions, hardware, git commit.

In: nothing but the machine.
Out: a dictionary for `environment.json`; what cannot be found out is None, never a guess.
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
"""Packages whose versions can change a result."""


def environment() -> dict[str, Any]:
    """Return versions, hardware and commit of this run; `energy_joules` stays None where no meter fills it in."""
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
    """Return the version of an installed package, else None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str | None:
    """Return the name of the processor model, None if the system does not tell it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or None
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or None


def _commit() -> str | None:
    """Return the commit of the package's own checkout, None for an installed package or where git does not answer."""
    package = Path(__file__).resolve().parents[1]
    if package.parent.name != "src":
        return None
    command = ["git", "-C", str(package), "rev-parse", "--verify", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
