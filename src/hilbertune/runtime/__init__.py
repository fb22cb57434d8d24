"""The machine under all other packages: files that are whole or absent, databases, meters, processes, pictures.

In: nothing but the machine.
Out: finished files, open databases, joules, a record of the machine, shares of work.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "storage": [
            "CannotWriteError",
            "cache_root",
            "new_directory",
            "open_database",
            "refuse_existing",
            "write_atomically",
        ],
        "provenance": ["environment"],
        "energy": ["Energy", "Meter", "measure", "metering", "window"],
    },
)
