"""The claims of `trust`, and what decides each."""

from __future__ import annotations

from caveatlib.claims import Claim, from_ledger

NAME = "trust"
HALF = 0.5
"""Ours: a month or a quarter counts as patched if on fewer days than this share it is not."""
QUARTER_DAYS = 90
FRESH_DAYS = 7
"""Older than this, the image that stands for a fresh one is not fresh."""
FEW = 0.1
"""Ours: an interval that ends below this share of the images says that there are few."""

TRUST = from_ledger(
    "C11",
    decides="how many of four things planted in an image (a key deleted in a later layer, a "
    "script as /bin/sh, a setuid shell, a base with another name) docker history and docker "
    "inspect name, where the history that we wrote names the steps, as a build would, and where it "
    "is made up; holds if one stays unnamed",
)
CONTENT = from_ledger(
    "C13",
    decides="attempts to hand a tool an image tampered with, each a tool, a form and a change, by "
    "what part was changed: whether the tool refuses it; nothing tampered must pass",
)
_OF_CONTENT = {
    "layer": (
        "a layer that was changed in the registry is noticed",
        "docker pull, skopeo and our reader, by tag and by digest: a byte damaged, a valid layer "
        "of the same size in its place, two layers exchanged; holds if all are refused",
    ),
    "config": (
        "a config that was changed in the registry is noticed",
        "docker pull, skopeo and our reader, by tag and by digest, are given another command to "
        "run, of the same length; holds if all refuse it",
    ),
    "digest": (
        "a manifest or an index that was changed is noticed by whoever asks by digest",
        "docker pull, skopeo and our reader, by digest: a note in the manifest, another image's "
        "layer in it, another manifest in an index; holds if all are refused",
    ),
    "manifest": (
        "a manifest or an index that was changed is noticed by whoever asks by tag",
        "the same, by tag; holds if all are refused",
    ),
    "tag": (
        "another image under the same tag is noticed",
        "docker pull, skopeo and our reader, by tag: an older image of the same maker, one that "
        "nobody signed, one that somebody else signed; holds if all are refused",
    ),
    "archive": (
        "a part that was changed in a docker archive is noticed",
        "docker load, skopeo and our reader: a layer or the config; holds if all are refused",
    ),
    "layout": (
        "a part that was changed in an OCI layout is noticed",
        "skopeo, umoci and our reader: a layer, the config or the manifest; holds if all are "
        "refused",
    ),
    "rewritten": (
        "an image that was changed with all that names it in an archive or a layout is noticed",
        "docker load, skopeo, umoci and our reader: another layer and config with their digests, "
        "or the names of two images exchanged; holds if all are refused",
    ),
    "signature": (
        "an image that nobody signed, or somebody else, is noticed by whoever verifies",
        "cosign verify, skopeo under a policy of GPG signatures, and skopeo by the digest that "
        "cosign verified, by tag; holds if all refuse both",
    ),
    "rollback": (
        "an older image of the same maker under the tag is noticed by whoever verifies",
        "cosign verify, skopeo under a policy of GPG signatures, and skopeo by the digest that "
        "cosign verified, by tag; holds if all refuse it",
    ),
}
PARTS = {
    part: Claim(f"{CONTENT.id}/{part}", text, "derived", decides, NAME)
    for part, (text, decides) in _OF_CONTENT.items()
}
PATCHED = from_ledger(
    "C15",
    decides="share of the days since the release on which a minimal Debian of "
    f"{QUARTER_DAYS} days lacks a security update, by the changelogs in it; holds below {HALF:g} "
    "(ours); the Debian is made here, official images are not read",
)
MAIN_ALONE = Claim(
    "trust-main-alone",
    "an image built today from Debian's main archive alone has its security updates",
    "ours",
    "packages of a minimal Debian, built from the main archive alone within the last "
    f"{FRESH_DAYS} days, of which apt's security index has a newer version; holds if there are "
    "none",
    NAME,
)
READ = Claim(
    "trust-reading",
    "reading an image's layers names what was planted in it",
    "ours",
    "our reader on the four images of C11, with either history; holds if it names all four both "
    "times, and nothing in an image with nothing planted",
    NAME,
)
PINNED = Claim(
    "trust-pinned",
    "whoever verifies a signature and then fetches by the verified digest notices every change",
    "ours",
    "skopeo by the digest that cosign verified, by tag, everything that is tried in a registry "
    "but an older image of the same maker; holds if it refuses all",
    NAME,
)
UNREAD = Claim(
    "trust-verify-alone",
    "verifying a signature is enough to notice a changed layer or config",
    "ours",
    "cosign verify alone, by tag and by digest, a layer or the config changed in the registry; "
    "holds if it refuses all",
    NAME,
)
OLIVES = from_ledger(
    "C12",
    decides="published images within reach that hold a list of packages: how many have a file that "
    "differs from it, or a script as /bin/sh; holds if the exact interval of their share begins "
    f"above {FEW:g} (ours), does not hold if it ends below; one image, or a few, are not a "
    "population",
)
CLAIMS = (
    TRUST,
    CONTENT,
    *PARTS.values(),
    PATCHED,
    MAIN_ALONE,
    READ,
    PINNED,
    UNREAD,
    OLIVES,
)
