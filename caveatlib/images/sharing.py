"""Which layers several images have in common."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from caveatlib import frames
from caveatlib.images import tables
from caveatlib.images.image import Image


def shared(images: Iterable[Image]) -> pd.DataFrame:
    """Return the distinct layers of the images, the most widely shared first.

    Layers are the same if their unpacked contents are (``diff_id``), which is
    how engines share them on disk. A registry shares by digest.

    Returns
    -------
    pandas.DataFrame
        `tables.Shared`; an image that has a layer twice counts once.
    """
    rows: dict[str, dict] = {}
    for image in images:
        for layer in image.layers.itertuples():
            row = rows.setdefault(
                layer.diff_id,
                {
                    "diff_id": layer.diff_id,
                    "size_bytes": layer.size_bytes,
                    "compressed_bytes": layer.compressed_bytes,
                    "names": [],
                },
            )
            row["compressed_bytes"] = min(row["compressed_bytes"], layer.compressed_bytes)
            if image.name not in row["names"]:
                row["names"].append(image.name)
    out = []
    for row in rows.values():
        used_by = row.pop("names")
        out.append(row | {"images": len(used_by), "used_by": ", ".join(used_by)})
    out.sort(key=lambda row: -row["images"])
    return frames.from_rows(out, tables.Shared)
