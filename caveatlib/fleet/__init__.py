"""Many hosts on a Dask cluster: each measures by itself, or they share the reading of images.

A worker of Dask on every host, e.g. ``dask worker tcp://scheduler:8786``, as the user who may
measure there; caveatlib and Python of the same versions on all of them.

What it costs. A survey of n images with d distinct layers is 2n + d tasks, a measurement one for
each host and experiment. A task costs the scheduler and the client c seconds, whatever is in it;
``python tests/benchmarks/bench_fleet.py`` measures c, and by how much it grows with n. So a
survey takes about max(c (2n + d), r / w) seconds, where r is what one worker needs to read
everything and w the number of workers. A layer is read once, so r grows with d.

Where it breaks, and what to do. Beyond r / (c (2n + d)) workers the scheduler is what limits: use
a scheduler for each part of the registry, at the price that a layer of two parts is read twice.
The client keeps a row of each image and what is distinct of layers and packages, and writes the
images' documents to a temporary file: a few kilobytes an image of either. A worker keeps the
entries of a layer for as long as an image of those in the cluster needs it: images that share
layers should stand together, as a registry lists them. Of hosts, 200 were
simulated: what comes back at once takes the client longest, since each package passes every guard
before the next.
"""

from caveatlib.fleet.connecting import connect
from caveatlib.fleet.measuring import measure
from caveatlib.fleet.surveying import survey

__all__ = ["connect", "measure", "survey"]
