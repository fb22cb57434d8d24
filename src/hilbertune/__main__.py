"""The command line without its script.

In: `python -m hilbertune VERB ...`.
Out: what `hilbertune VERB ...` does.
"""

from hilbertune.cli.app import main

if __name__ == "__main__":
    main()
