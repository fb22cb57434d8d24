"""Which packages the modules of Hilbertune load, seen from a process of its own.

In: names of modules.
Out: names of what Python has loaded after importing them.
"""

import pkgutil
import subprocess
import sys
from importlib.util import find_spec


def modules_of(package: str) -> list[str]:
    """Return the names of the modules in a package, itself included."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return [package, *(f"{package}.{m.name}" for m in pkgutil.iter_modules(spec.submodule_search_locations))]


def loaded_by(modules: list[str]) -> set[str]:
    """Return the top-level packages that are loaded once these modules are imported."""
    code = f"import {', '.join(modules)}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())
