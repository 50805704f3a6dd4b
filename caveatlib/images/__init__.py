"""Read container images without a daemon, without extracting or writing anything.

>>> from caveatlib import images
>>> image = images.read("data/images/bloated.tar")
>>> image.layers[["layer", "size_bytes", "wasted_bytes"]]
>>> image.summary

Sources: a ``docker save`` archive (classic, or with OCI blobs), an OCI archive
or layout folder, a registry, or any stream of an archive. Each image has the
tables `Image.layers`, `Image.files`, `Image.packages`, `Image.olives`,
`Image.secrets`, `Image.checks` and `Image.summary`; their columns are
described in `caveatlib.images.tables`.
"""

from caveatlib.images.image import Image
from caveatlib.images.limits import DEFAULTS, Limits
from caveatlib.images.names import escape, unescape
from caveatlib.images.reading import list_tar, read, read_all, read_stream
from caveatlib.images.sharing import shared
from caveatlib.images.surveying import Survey, survey

__all__ = [
    "DEFAULTS",
    "Image",
    "Limits",
    "Survey",
    "escape",
    "list_tar",
    "read",
    "read_all",
    "read_stream",
    "shared",
    "survey",
    "unescape",
]
