"""The style of slides, in a notebook and on a page of their own."""

import re
from pathlib import Path

SLIDES = re.sub(r"\s+", " ", Path(__file__).with_name("style.css").read_text(encoding="utf-8"))
