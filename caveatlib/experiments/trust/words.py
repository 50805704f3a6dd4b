"""Which check refused an image, by the words of the tool that refused it.

Words that are none of these do not refuse the image: the trial has failed.
"""

from __future__ import annotations

import re

LAYER, UNPACKED, CONFIG, MANIFEST = "layer digest", "diff_id", "config digest", "manifest digest"
PACKING, SIGNATURE = "packing", "signature"
CHECKS = (LAYER, UNPACKED, CONFIG, MANIFEST, PACKING, SIGNATURE)
_SAID = {
    SIGNATURE: (r"no signatures found|no matching signatures|Source image rejected"),
    UNPACKED: (
        r"invalid diffID for layer|layers from manifest don't match"
        r"|Layer \d+, unpacked, has the digest"
    ),
    LAYER: (
        r"filesystem layer verification failed|Digest did not match|Layer \d+ has the digest"
        r"|Layer has the digest|unpack rootfs: discard trailing archive bits: expected sha256"
    ),
    CONFIG: (
        r"image config verification failed|Download config\S* digest|The config has the digest"
        r"|get config blob: .*digest mismatch"
    ),
    MANIFEST: (
        r"manifest verification failed|Manifest does not match|The manifest has the digest"
        r"|get manifest: .*digest mismatch"
    ),
    PACKING: (r"gzip: invalid|flate: corrupt|invalid tar header|data are corrupt"),
}


def check_of(words: str) -> str:
    """Return which of `CHECKS` words speak of; "" if of none."""
    return next((name for name, said in _SAID.items() if re.search(said, words)), "")
