"""An image that was read, and its tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from caveatlib import frames
from caveatlib.images import categories, checks, merge, secrets, tables, tar, view
from caveatlib.images.layers import Scan
from caveatlib.support.text import escape_control_characters, shorten

_EXTRAS = ("documentation", "man page", "locale", "cache")


@dataclass(frozen=True, repr=False)
class Image:
    """A container image; its tables are made on first use.

    Attributes
    ----------
    name : str
        Name in its archive, layout or registry, percent-escaped.
    digest : str
        Digest of its manifest; empty for a classic ``docker save`` archive.
    platform : str
        ``os/architecture[/variant]``.
    """

    name: str
    digest: str
    platform: str
    scans: tuple[Scan, ...]
    created_by: tuple[str, ...]
    media_types: tuple[str, ...]
    verified: tuple[bool, ...]
    checked: tuple[checks.Check, ...] = ()

    def __repr__(self):
        entries = [scan.entries for scan in self.scans]
        size = sum(int(part.sizes[_files(part)].sum()) for part in entries)
        many = "s" * (len(entries) != 1)
        text = (
            f"Image {shorten(self.name or self.digest)!r} ({shorten(self.platform)}): "
            f"{len(entries)} layer{many}, {sum(map(len, entries))} entries, "
            f"{size:,} bytes of files; tables: summary, layers, files, packages, olives, "
            "secrets, checks"
        )
        return escape_control_characters(text)

    @cached_property
    def _hidden(self) -> list[np.ndarray]:
        return merge.hidden_by([scan.entries for scan in self.scans])

    @cached_property
    def _view(self) -> view.View:
        return view.of(list(self.scans), self._hidden)

    @cached_property
    def _installed(self) -> list:
        return view.installed(self._view)

    @cached_property
    def layers(self) -> pd.DataFrame:
        """One row per layer: `tables.Layers`."""
        entries = [scan.entries for scan in self.scans]
        rows = [
            {
                "layer": number,
                "digest": scan.digest,
                "diff_id": scan.diff_id,
                "created_by": self.created_by[number],
                "media_type": self.media_types[number],
                "compressed_bytes": scan.compressed_bytes,
                "size_bytes": int(scan.entries.sizes[_files(scan.entries)].sum()),
                "files": int((~merge.whiteouts(scan.entries)).sum()),
                "wasted_bytes": lost,
                "verified": tables.VERIFIED[0 if self.verified[number] else 1],
            }
            for number, (scan, lost) in enumerate(
                zip(self.scans, merge.wasted(entries, self._hidden), strict=True)
            )
        ]
        return frames.from_rows(rows, tables.Layers)

    @cached_property
    def files(self) -> pd.DataFrame:
        """One row per entry that is not a whiteout: `tables.Files`."""
        return files_frame([scan.entries for scan in self.scans], self._hidden)

    @cached_property
    def packages(self) -> pd.DataFrame:
        """One row per installed package: `tables.Packages`."""
        rows = [
            {
                "manager": package.manager,
                "name": package.name,
                "version": package.version,
                "installed_bytes": package.installed_bytes,
                "layer": number,
            }
            for package, number in self._installed
        ]
        frame = pd.DataFrame(rows, columns=list(frames.columns(tables.Packages)))
        frame["installed_bytes"] = frame["installed_bytes"].astype("Int64")
        return frames.validate(frame, tables.Packages)

    @cached_property
    def olives(self) -> pd.DataFrame:
        """One row per file that is not what it claims to be: `tables.Olives`.

        A ``/bin/sh`` that is not an ELF program is always listed; contents are
        compared with the package databases if the image was read with
        ``olives=True``.
        """
        found = [package for package, _ in self._installed]
        return frames.from_rows(view.olives(self._view, found), tables.Olives)

    @cached_property
    def secrets(self) -> pd.DataFrame:
        """One row per file that looks like a secret, hidden by a later layer or not.

        See `tables.Secrets`; what counts as one: `caveatlib.images.secrets`.
        """
        owned = view.owned(self._view, [package for package, _ in self._installed])
        rows = []
        for number, (scan, hidden) in enumerate(zip(self.scans, self._hidden, strict=True)):
            entries = scan.entries
            for row, path in enumerate(entries.paths):
                kind = secrets.kind(path, is_key=row in scan.keys)
                if kind and entries.kinds[row] == tar.FILE and path not in owned:
                    above = int(hidden[row]) if hidden[row] >= 0 else None
                    size = int(entries.sizes[row])
                    rows.append((number, path, kind, size, above))
        frame = pd.DataFrame(rows, columns=list(frames.columns(tables.Secrets)))
        frame["hidden_by"] = frame["hidden_by"].astype("Int64")
        return frames.validate(frame, tables.Secrets)

    @cached_property
    def checks(self) -> pd.DataFrame:
        """One row per part whose digest was compared, and with what: `tables.Checks`."""
        return frames.from_rows([check._asdict() for check in self.checked], tables.Checks)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row for the image: `tables.Summary`.

        ``efficiency`` is 1 - wasted / size over the bytes of all layers. The
        score of dive is another: it compares the smallest size of each path
        that occurs in several layers with the sum of its sizes, so that a file
        that one layer adds and the next deletes counts differently, and a
        score of 1 means that no path occurs twice.
        """
        files, layers = self.files, self.layers
        visible = files[files["hidden_by"].isna()]
        regular = visible[visible["type"].isin(("file", "hard link"))]
        size, total = int(visible["size_bytes"].sum()), int(layers["size_bytes"].sum())
        found = [package for package, _ in self._installed]
        unowned = ~visible["path"].isin(view.owned(self._view, found))
        kinds = visible["category"].value_counts()
        wasted = int(layers["wasted_bytes"].sum())
        extras = int(visible["size_bytes"][visible["category"].isin(_EXTRAS)].sum())
        row = {
            "image": self.name,
            "platform": self.platform,
            "layers": len(layers),
            "files": len(visible),
            "compressed_bytes": int(layers["compressed_bytes"].sum()),
            "size_bytes": total,
            "visible_bytes": size,
            "wasted_bytes": wasted,
            "efficiency": 1 - wasted / total if total else 1.0,
            "executables": int((regular["mode"] & 0o111 > 0).sum()),
            "setuid_files": int((regular["mode"] & 0o4000 > 0).sum()),
            "setgid_files": int((regular["mode"] & 0o2000 > 0).sum()),
            "shells": int(kinds.get("shell", 0)),
            "package_managers": int(kinds.get("package manager", 0)),
            "interpreters": int(kinds.get("interpreter", 0)),
            "packages": len(found),
            "unowned_bytes": int(visible["size_bytes"][unowned].sum()),
            "extras_share": extras / size if size else 0.0,
            "olives": len(self.olives),
        }
        return frames.from_rows([row], tables.Summary)


def _files(entries: tar.Entries) -> np.ndarray:
    return entries.kinds == tar.FILE


def files_frame(
    layers: list[tar.Entries], hidden: list[np.ndarray], *, whiteouts: bool = False
) -> pd.DataFrame:
    """Return `tables.Files` of layers; with `whiteouts`, these are listed like any other file.

    The columns have the model's dtypes and bounds by construction. The tests
    validate them; doing so here would take longer than reading the image.
    """
    columns: dict[str, list] = {name: [] for name in frames.columns(tables.Files)}
    type_names = np.array([tar.KINDS.get(kind, "file") for kind in range(256)], object)
    category_names = np.array(tables.CATEGORIES, object)
    for number, entries in enumerate(layers):
        count = len(entries)
        links = np.full(count, "", object)
        if entries.links:
            links[list(entries.links)] = list(entries.links.values())
        regular = (entries.kinds == tar.FILE) | (entries.kinds == tar.HARD_LINK)
        parts = {
            "layer": np.full(count, number, np.int64),
            "path": np.array(entries.paths, object),
            "type": type_names[entries.kinds],
            "mode": entries.modes,
            "uid": entries.uids,
            "gid": entries.gids,
            "size_bytes": entries.sizes,
            "link_target": links,
            "setuid": regular & (entries.modes & 0o4000 > 0),
            "category": category_names[categories.categorise(entries)],
            "hidden_by": hidden[number],
        }
        keep = slice(None) if whiteouts else ~merge.whiteouts(entries)
        for name, part in parts.items():
            columns[name].append(part[keep])
    if not layers:
        return frames.empty(tables.Files)
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    text = pd.StringDtype(na_value=np.nan)
    data = {
        name: pd.array(part, dtype=text) if part.dtype == object else part
        for name, part in joined.items()
    }
    above = joined["hidden_by"]
    data["hidden_by"] = pd.arrays.IntegerArray(np.where(above < 0, 0, above), above < 0)
    return pd.DataFrame(data, copy=False)
