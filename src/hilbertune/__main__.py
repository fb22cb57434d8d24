"""`python -m hilbertune`, the command line without its script."""

from hilbertune.cli.app import main

main()
