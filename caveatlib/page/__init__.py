"""The scorecard as a page: tiles, findings, a forest of ratios, one card per claim.

Entries of `caveatlib.scorecard` in, HTML out. Nothing is measured, read or decided here.
The page loads nothing from anywhere and has no script.
"""

from caveatlib.page.appendix import appendix
from caveatlib.page.document import document
from caveatlib.page.frame import show
from caveatlib.page.judged import verdicts
from caveatlib.page.overview import Overview

__all__ = ["Overview", "appendix", "document", "show", "verdicts"]
