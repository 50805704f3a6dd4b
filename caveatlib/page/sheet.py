"""The style sheet, and the rules that let the tally filter the page without a script."""

from __future__ import annotations

import re
from pathlib import Path

from caveatlib.page.markup import LETTERS

SHEET = re.sub(r"\s+", " ", Path(__file__).with_name("style.css").read_text(encoding="utf-8"))
"""All rules stand below the class ``caveats``: a notebook has classes of its own."""

NOTEBOOK = SHEET.replace(".caveats {", ".caveats.caveats.caveats {", 1)
"""The same with more weight than the rules that JupyterLab has for links and tables."""

_KINDS = tuple(dict.fromkeys(LETTERS.values()))
FILTER = "".join(
    f".caveats main:has(#f-{k}:checked) :is(.card,.tile):not(.{k}){{opacity:.13}}" for k in _KINDS
)
PAGE = (
    ":root{color-scheme:light dark}html{scroll-padding-top:3.2rem;background:#fbfbf9}"
    "body{margin:0}@media(prefers-color-scheme:dark){html{background:#14171b}}"
    "@media print{:root{color-scheme:light}}" + SHEET + FILTER + ".caveats code{color:var(--fg)}"
)
BOOK = (
    ".book{overflow-wrap:anywhere}.book table{width:auto}.book .output_subarea{overflow-x:auto}"
    ".book pre{font-size:.85rem;line-height:1.35;overflow-x:auto;padding:.4rem .6rem}"
    ".book .input pre,.book .highlight pre{background:#8882;border-radius:4px}"
    ".book figure{margin:.5rem 0}.book img,.book svg{max-width:100%;height:auto}"
    ".book img{background:#fff}"
)
"""What a notebook's own page needs besides."""
