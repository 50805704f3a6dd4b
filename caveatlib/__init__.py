"""Check the claims of the 2016 post "Docker Caveats" on your own machine.

Modules are imported when first used, so that ``import caveatlib`` costs next
to nothing.
"""

import importlib

__version__ = "0.1.0"

_MODULES = (
    "claims",
    "errors",
    "exchange",
    "experiments",
    "fleet",
    "frames",
    "host",
    "images",
    "literature",
    "page",
    "places",
    "plots",
    "report",
    "runs",
    "scorecard",
    "stats",
    "store",
    "trials",
)
__all__ = ["__version__", *_MODULES]


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"caveatlib.{name}")
    raise AttributeError(f"module 'caveatlib' has no attribute {name!r}")


def __dir__():
    return __all__
