"""`python -m hilbertune`, the command line without its script."""

from hilbertune.cli import main

main()
