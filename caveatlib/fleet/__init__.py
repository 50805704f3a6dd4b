"""Many hosts on a Dask cluster: each measures by itself, or they share the reading of images.

A worker of Dask on every host, e.g. ``dask worker tcp://scheduler:8786``, as the user who may
measure there; caveatlib and Python of the same versions on all of them.
"""

from caveatlib.fleet.connecting import connect
from caveatlib.fleet.measuring import measure
from caveatlib.fleet.surveying import survey

__all__ = ["connect", "measure", "survey"]
