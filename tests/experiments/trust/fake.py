"""A bench, a Debian and published images that pretend: they answer as the real ones were seen to.

For tests of the experiment `trust`; never makes a number that is shown.
"""

from __future__ import annotations

from places.fake import spec

from caveatlib.experiments.trust import designs, planted, tampering
from caveatlib.experiments.trust.designs import DAY_S
from caveatlib.experiments.trust.tampering import (
    ARCHIVE,
    CONFIG,
    DIGEST,
    INDEX,
    LAYERS,
    MANIFESTS,
    MOVED,
    RENAMED,
    REWRITTEN,
    STRANGERS,
    TAG,
)
from caveatlib.experiments.trust.updates import Read

COMPARABLE, DIFFERING = 40, 20
"""Published images, and those that differ: enough for a verdict, as none within reach are."""
_CHECKS = dict.fromkeys(LAYERS, "layer digest") | {CONFIG: "config digest"}
_MANIFEST = "manifest digest"


def check_of(tool: str, form: str, what: str) -> str:
    """Return by which check a tool refuses an image; "" if it takes it."""
    verifies = tool in (designs.GPG, designs.COSIGN, designs.PINNED)
    if tool == designs.COSIGN and (form == DIGEST or what in _CHECKS):
        return ""
    if what in STRANGERS:
        return "signature" if verifies else ""
    if what in (*MANIFESTS, INDEX):
        if form == TAG and verifies:
            return "signature"
        if form == TAG and tool == designs.DOCKER and what == MANIFESTS[1]:
            return "diff_id"
        by_tag = tool in (designs.DOCKER, designs.SKOPEO) and form == TAG
        in_layout = tool == designs.SKOPEO and form == tampering.LAYOUT
        return "" if by_tag or in_layout else _MANIFEST
    if what == CONFIG and form == ARCHIVE and tool != designs.READER:
        return ""
    return _CHECKS.get(what, "")


class FakeBench:
    """Stands for `bench.Bench`."""

    def __init__(self, tool: str):
        self._tool = tool

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}

    def fetch(self, form: str, what: str) -> dict[str, object]:
        """Return what the tool was seen to do."""
        changed = 0.0 if what in tampering.CONTROLS else 1.0
        found = {"altered_bytes": changed, "took_s": 0.1}
        if check := check_of(self._tool, form, what):
            left = float(self._tool == designs.SKOPEO and what in LAYERS)
            return found | {"accepted": 0.0, "check": check, "left_files": left}
        other = what in (MOVED, *STRANGERS, REWRITTEN, RENAMED, CONFIG, INDEX)
        return found | {"accepted": 1.0, "same_content": float(not other)}

    def planted(self, history: str) -> dict[str, str]:
        """Return that Docker goes by the history, and a reader by what is there."""
        by = {designs.READER: "files", designs.SYFT: ""}.get(self._tool)
        if by is None:
            by = "history" if history == planted.STEPS else ""
        return dict.fromkeys(planted.PLANTS, by) | {planted.CLEAN: ""}


class FakeDebian:
    """Stands for `places.Aged`."""

    def __init__(self, name: str):
        self.read = Read(
            days=(50, 170, 240, 300, 360, 380, 415),
            covered=470,
            today={
                "security_uploads": 7.0,
                "security_sources": 3.0,
                "covered_s": 470 * DAY_S,
                "built_age_s": DAY_S / 4,
                "index_pending": 0.0,
                "index_agreement": 1.0,
                "index_named": 1.0,
            },
            rows=[{"source_package": "openssl", "version": "3", "uploaded_on": "2026-01-24"}],
        )

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}


class FakePublished:
    """Stands for `places.Others`."""

    def __init__(self, name: str):
        row = {"readable": 1, "layers": 1, "size_bytes": 9, "packages": 3, "differing_files": 0,
               "shell_scripts": 0, "secrets": 0, "setuid_files": 0}  # fmt: skip
        self._rows = [
            {"image": f"p: {number}.tar"} | row | {"differing_files": int(number < DIFFERING)}
            for number in range(COMPARABLE)
        ]
        self._rows.append({"image": "p: none.tar", "readable": 0})

    def read(self) -> list[dict]:
        """Return the images, and one file that is none."""
        return self._rows

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}


PLACES = {
    **{name: spec(FakeBench, name) for name in (*designs.TAKES, designs.SYFT)},
    designs.DEBIAN: spec(FakeDebian, designs.DEBIAN),
    designs.OTHERS: spec(FakePublished, designs.OTHERS),
}
