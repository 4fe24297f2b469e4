"""Run the command line with ``python -m braindecode_x``."""

from braindecode_x.cli import main

main()
