"""Measure an act: ``python -m caveatlib.talk NAME FOLDER``."""

import sys

from caveatlib.talk.acts import main

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
