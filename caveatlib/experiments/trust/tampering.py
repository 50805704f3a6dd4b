"""What is changed in a store, and the bytes that do it.

`changes` returns new contents by path; nothing else of the store is touched. In an archive or a
layout whoever tampers may rewrite what names a part, too; in a registry only what lies under a
digest, or what a tag names, is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from caveatlib.experiments.trust import made
from caveatlib.experiments.trust.made import CURRENT, EVIL, FOREIGN, MANY, OLDER, UNSIGNED, image

TAG, DIGEST, ARCHIVE, LAYOUT = "tag", "digest", "docker-archive", "oci-layout"
FORMS = (TAG, DIGEST, ARCHIVE, LAYOUT)
"""By what an image is asked for: in a registry by tag or digest, in an archive or a layout by name.
"""
NOTHING, NOTHING_MANY = "nothing", "nothing, index"
LAYERS = ("layer-damaged", "layer-replaced", "layers-swapped")
CONFIG = "config-replaced"
MANIFESTS = ("manifest-annotated", "manifest-other-layer")
INDEX = "index-other-manifest"
MOVED = "tag-older"
STRANGERS = ("tag-unsigned", "tag-other-key")
REWRITTEN, RENAMED = "rewritten", "names-exchanged"
MEANINGS = {
    NOTHING: "nothing",
    NOTHING_MANY: "nothing; asked for by an index",
    "layer-damaged": "one byte of a layer as it is stored",
    "layer-replaced": "a layer, by a valid one of the same size with another file in it",
    "layers-swapped": "two layers, exchanged",
    CONFIG: "the config, by one of the same size with another command",
    "manifest-annotated": "a note in the manifest, nothing that is run",
    "manifest-other-layer": "the manifest, to name a layer of another image",
    INDEX: "the index, to name the manifest of another image",
    MOVED: "the tag, to name an older image of the same maker",
    "tag-unsigned": "the tag, to name an image that nobody signed",
    "tag-other-key": "the tag, to name an image that somebody else signed",
    REWRITTEN: "a layer, the config, and all that names them",
    RENAMED: "the names of two images, exchanged",
}
TAMPERINGS = tuple(MEANINGS)
UNCHANGED, LAYER, MANIFEST, ALL = "nothing", "layer", "manifest", "all"
PART = (
    dict.fromkeys((NOTHING, NOTHING_MANY), UNCHANGED)
    | dict.fromkeys(LAYERS, LAYER)
    | {CONFIG: "config"}
    | dict.fromkeys(MANIFESTS, MANIFEST)
    | {INDEX: "index", MOVED: "tag, older"}
    | dict.fromkeys(STRANGERS, "tag, stranger")
    | dict.fromkeys((REWRITTEN, RENAMED), ALL)
)
"""What part of the image, or of what names it, each changes."""
PARTS = tuple(dict.fromkeys(PART.values()))
CONTROLS = (NOTHING, NOTHING_MANY)
_EVERYWHERE = (NOTHING, *LAYERS, CONFIG)
_IN_REGISTRY = (*_EVERYWHERE, *MANIFESTS, NOTHING_MANY, INDEX)
OF_FORM = {
    TAG: (*_IN_REGISTRY, MOVED, *STRANGERS),
    DIGEST: _IN_REGISTRY,
    ARCHIVE: (*_EVERYWHERE, REWRITTEN, RENAMED),
    LAYOUT: (*_EVERYWHERE, *MANIFESTS, REWRITTEN, RENAMED),
}
"""What is tried with each form."""

Files = dict[str, bytes]


def reference(form: str, tampering: str) -> str:
    """Return what a tool is asked for in a registry: ``:tag`` or ``@digest``."""
    many = tampering in (NOTHING_MANY, INDEX)
    if form == TAG:
        return f":{MANY if many else CURRENT}"
    return f"@{made.digest(made.index()) if many else image(CURRENT).digest}"


def files_of(form: str) -> Mapping[str, bytes]:
    """Return the files of an untouched store."""
    return {ARCHIVE: made.archive, LAYOUT: made.layout}.get(form, made.in_registry)()


def changes(form: str, tampering: str) -> Files:
    """Return the new contents of what a tampering changes, by path; of nothing, none."""
    if tampering in CONTROLS:
        return {}
    layers, config = _names(form)
    evil, current = image(EVIL), image(CURRENT)
    stored = "layers" if form == ARCHIVE else "packed"
    lower, upper = getattr(current, stored)
    changed: dict[str, Callable[[], Files]] = {
        "layer-damaged": lambda: {layers[1]: damaged(upper)},
        "layer-replaced": lambda: {layers[1]: getattr(evil, stored)[1]},
        "layers-swapped": lambda: dict(zip(layers, (upper, lower), strict=True)),
        CONFIG: lambda: {config: made.config_of(current.layers, evil.command)},
        "manifest-annotated": lambda: _manifest(current.config, current.packed, version="9.0"),
        "manifest-other-layer": lambda: _manifest(
            current.config, (current.packed[0], image(OLDER).packed[1])
        ),
        INDEX: lambda: {made.blob(made.index()): made.index_of(image(OLDER).manifest)},
        MOVED: lambda: _tag(OLDER),
        "tag-unsigned": lambda: _tag(UNSIGNED),
        "tag-other-key": lambda: _tag(FOREIGN),
        REWRITTEN: lambda: _rewritten(form),
        RENAMED: lambda: _renamed(form),
    }
    return changed[tampering]()


def damaged(data: bytes) -> bytes:
    """Return a blob with one bit in its middle flipped."""
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def differing(one: bytes, other: bytes) -> int:
    """Return in how many bytes two contents differ, the difference of their lengths included."""
    same_place = sum(a != b for a, b in zip(one, other, strict=False))
    return same_place + abs(len(one) - len(other))


def _names(form: str) -> tuple[Sequence[str], str]:
    """Return where the layers and the config of the current image lie."""
    current = image(CURRENT)
    if form == ARCHIVE:
        names = [made.layer_name(layer) for layer in current.layers]
        return names, made.config_name(current.config)
    return [made.blob(layer) for layer in current.packed], made.blob(current.config)


def _manifest(config: bytes, packed: Sequence[bytes], **settings) -> Files:
    """Put another manifest in the place of the current image's."""
    return {made.blob(image(CURRENT).manifest): made.manifest_of(config, packed, **settings)}


def _tag(name: str) -> Files:
    return {f"tags/{CURRENT}": image(name).digest.encode()}


def _rewritten(form: str) -> Files:
    """Return another image under the current one's name, every digest in it as it must be."""
    evil, older = image(EVIL), image(OLDER)
    if form == ARCHIVE:
        return {
            made.layer_name(evil.layers[1]): evil.layers[1],
            made.config_name(evil.config): evil.config,
            "manifest.json": made.manifest_json({CURRENT: evil, OLDER: older}),
        }
    names = (CURRENT, OLDER)
    parts = (evil.packed[1], evil.config, evil.manifest)
    return {made.blob(part): part for part in parts} | {
        "index.json": made.index_of(evil.manifest, older.manifest, names=names)
    }


def _renamed(form: str) -> Files:
    current, older = image(CURRENT), image(OLDER)
    if form == ARCHIVE:
        return {"manifest.json": made.manifest_json({CURRENT: older, OLDER: current})}
    manifests = (older.manifest, current.manifest)
    return {"index.json": made.index_of(*manifests, names=(CURRENT, OLDER))}
