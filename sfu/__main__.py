"""``python -m sfu`` is the command ``trio-sfu``."""

from sfu.cli import main

main(prog_name="trio-sfu")
