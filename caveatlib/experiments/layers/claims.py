"""The claims of `layers`, and what decides each."""

from __future__ import annotations

from caveatlib import claims
from caveatlib.experiments.layers.tables import LINKS

NAME = "layers"
MOSTLY = 0.5
"""Share of an image's bytes below which most of it is never opened (ours)."""
MORE = {
    "setuid_files": "Setuid files",
    "shells": "shells",
    "executables": "executables",
    "packages": "packages",
}

PULLS = {"even": "pull-even", "one": "pull", "base": "pull-base-there"}
"""What is pulled, and the work that does it."""
WORDS = {
    "even": "eight even layers",
    "one": "most in one layer",
    "base": "that layer there already",
}
_NOISE = "the noise is that of pulling the image with most of its bytes in one layer twice"
PLANTED = claims.Claim(
    "layers-planted-shell",
    "a script in the place of /bin/sh is found by reading the image",
    "ours",
    "a script planted as /bin/sh of the minimal Debian image is found, and nothing was before",
    NAME,
)
CLAIMS = (
    claims.from_ledger(
        "C12",
        decides="how many of the images that people publish hold files which differ from what "
        "their packages say; no image but our own is read here",
    ),
    PLANTED,
    claims.from_ledger(
        "C22",
        decides="seconds per GB of files to pull an image, over fetching a disk that was packed "
        "with gzip, below 1 on every link: a whole image, however its bytes are spread over the "
        "layers, and one whose base layer (seven eighths of it) is there; "
        "the disk holds the same files alone, no kernel and no operating system, and is unpacked "
        f"by zlib; both are flushed to the host's disk; {_NOISE}",
    ),
    *(
        claims.Claim(
            f"C22/{link}/{what}",
            f"an image ({words}) moves faster than a gzipped disk of the same files ({link})",
            "derived",
            "the same on this link, for this image",
            NAME,
        )
        for link in LINKS
        for what, words in WORDS.items()
    ),
    claims.from_ledger(
        "C27",
        decides="share of the bytes of one image of our making, a small web server on a full "
        "Debian, in files that are opened while it serves one page, below "
        f"{MOSTLY:g} (ours); what people ship is not looked into",
    ),
    claims.from_ledger(
        "C28",
        decides="share of the time of a pull (of the largest image measured, where it is "
        f"greatest) that grows with its bytes, above {MOSTLY:g} (ours) on every link; how long "
        "the container then takes to start is not measured",
    ),
    *(
        claims.Claim(
            f"C28/{link}",
            f"most of the time of a pull grows with the bytes of the image ({link})",
            "derived",
            "the same on this link",
            NAME,
        )
        for link in LINKS
    ),
    claims.from_ledger(
        "C29",
        decides="the full Debian image has more setuid files, shells, executables and packages "
        "than the one on scratch (counts, not attacks; that nothing has fewer than a Debian is "
        "no surprise, how many fewer is what is shown)",
    ),
    claims.from_ledger(
        "C30",
        decides=f"packages own more than {MOSTLY:g} (ours) of the bytes of both Debians, which "
        "were made of packages: it shows what their databases account for, not what images "
        "that people ship hold",
    ),
    claims.from_ledger(
        "C32", decides="a static program on an image with nothing else serves its page"
    ),
)
