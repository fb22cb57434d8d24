"""The command line: arguments in, one call, words out.

In: `hilbertune VERB ...`.
Out: a table for people or one JSON object on stdout; progress on stderr.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "app": ["main"],
    },
)
