"""Print how strictly nbval may compare here: exactly in the pinned environment, else lax.

The text of an output depends on these packages; others may differ.
"""

import re
import sys
from importlib.metadata import version
from pathlib import Path

DECIDE = ("pandas", "numpy", "matplotlib", "ipython", "scipy", "pandera")

pinned = dict(
    re.findall(r"^([A-Za-z0-9._-]+)==(\S+)$", Path("constraints.txt").read_text().lower(), re.M)
)
same = all(pinned[name] == version(name) for name in DECIDE) and sys.version_info[:2] == (3, 13)
print("--nbval" if same else "--nbval-lax")
