"""The style sheet, and the rules that let the tally filter the page without a script."""

from __future__ import annotations

import re
from pathlib import Path

from caveatlib.page.markup import APART, LETTERS

_OVERVIEW = re.compile(r"/\* overview \*/.*?/\* all \*/", re.S)
"""Rules of the first screen and the forest, which no notebook's page has."""


def _sheet(rules: str) -> str:
    """Return rules on one line, without comments and needless spaces."""
    rules = re.sub(r"/\*.*?\*/", "", rules, flags=re.S)
    rules = re.sub(r" ?([{};,]) ?|(?<=:) ", r"\1", re.sub(r"\s+", " ", rules))
    return rules.strip().replace(";}", "}")


_RULES = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
SHEET = _sheet(_RULES)
"""All rules stand below the class ``caveats``: a notebook has classes of its own."""

NOTEBOOK = SHEET.replace(".caveats{", ".caveats.caveats.caveats{", 1)
"""The same with more weight than the rules that JupyterLab has for links and tables."""

_KINDS = {letter: f".{letter}" for letter in LETTERS.values()}
_KINDS |= {"m": f".m:not(.{APART})", APART: f".{APART}"}
FILTER = "".join(
    f".caveats main:has(#f-{k}:checked) :is(.card,.tile):not({s}){{opacity:.13}}"
    for k, s in _KINDS.items()
)
_AROUND = (
    ":root{color-scheme:light dark}html{scroll-padding-top:3.2rem;background:#fbfbf9}"
    "body{margin:0}@media(prefers-color-scheme:dark){html{background:#14171b}}"
    "@page{margin:8mm}@media print{:root{color-scheme:light;font-size:11px}}"
)
_CODE = ".caveats code{color:var(--fg)}"
_FOREST = (
    "@media screen{.caveats .axis{box-shadow:0 -.6rem var(--bg)}}"
    "@media print{.caveats .row{font-size:.82rem;line-height:1.1}.caveats .ax{height:1rem}"
    ".caveats .paper :is(th,td){font-size:7pt;line-height:1.1;padding-right:.4rem}}"
)
"""No row shows between the page's header and the axis below it; on paper rows are lower."""
PAGE = _AROUND + SHEET + FILTER + _CODE + _FOREST
BOOK = (
    _AROUND + _sheet(_OVERVIEW.sub("", _RULES)) + _CODE + ".book{overflow-wrap:anywhere}"
    ".book :is(td,th){overflow-wrap:normal}"
    ".book .output_text pre,.book .output_stream pre{white-space:pre-wrap}"
    ".book table{width:auto}.book .output_subarea{overflow-x:auto}"
    ".book pre{font-size:.85rem;line-height:1.35;overflow-x:auto;padding:.4rem .6rem}"
    ".book .input pre{background:#8882;border-radius:4px}"
    ".book figure{margin:.5rem 0}.book img,.book svg{max-width:100%;height:auto}"
    ".book img{background:#fff}"
)
"""All that a notebook's own page needs."""
