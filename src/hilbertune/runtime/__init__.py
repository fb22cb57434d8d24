"""What every floor stands on: files that are whole or absent, the machine and its meters, processes, figures.

In: nothing but the machine.
Out: paths, records of the machine, joules, files on disk.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "storage": ["CannotWriteError", "cache_root", "new_directory", "refuse_existing", "write_atomically"],
        "provenance": ["environment"],
        "energy": ["Energy", "Meter", "measure", "metering", "window"],
    },
)
