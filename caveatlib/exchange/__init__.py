"""Runs as files that other tools read, and files of other tools as runs.

hyperfine's scripts, ``pyperf stats`` and ReBench read what `export` writes; `adopt` makes a run
of what hyperfine or pyperf wrote, with the source ``"imported"``.
"""

from caveatlib.exchange import imported
from caveatlib.exchange.adopting import adopt
from caveatlib.exchange.exporting import FORMATS, export

__all__ = ["FORMATS", "adopt", "export", "imported"]
