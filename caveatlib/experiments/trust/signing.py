"""Keys made on the spot, and signatures by cosign and by GPG (simple signing).

Nobody is asked: no transparency log, no authority, no network but the registry's. Keys lie below
the site's folder and go with it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from caveatlib.errors import MeasurementError
from caveatlib.experiments.trust import made
from caveatlib.experiments.trust.made import CURRENT, FOREIGN, OLDER, image
from caveatlib.experiments.trust.site import Site
from caveatlib.places.base import Capability
from caveatlib.support import programs

SIGN = ("--yes", "--tlog-upload=false", "--allow-http-registry")
VERIFY = ("--insecure-ignore-tlog", "--private-infrastructure", "--allow-insecure-registry")
MINE, OTHER = "mine", "other"
FIX = "make system"


def ours() -> tuple[bytes, ...]:
    """Return the manifests and the index that the maker of the images has signed."""
    return image(CURRENT).manifest, image(OLDER).manifest, made.index()


def _probe(name: str, wanted: Sequence[str]) -> Capability:
    missing = [p for p in wanted if programs.find(p) is None]
    if missing:
        return Capability(name, False, f"missing: {', '.join(missing)}", FIX)
    return Capability(name, True, f"{' and '.join(wanted)} found")


@cache
def probe_cosign() -> Capability:
    """Return whether cosign is there."""
    return _probe("cosign", ("cosign",))


@cache
def probe_gpg() -> Capability:
    """Return whether skopeo and GPG are there."""
    return _probe("simple-signing", ("skopeo", "gpg"))


@cache
def probe_skopeo() -> Capability:
    """Return whether skopeo is there."""
    return _probe("skopeo", ("skopeo",))


@cache
def probe_umoci() -> Capability:
    """Return whether umoci is there."""
    return _probe("umoci", ("umoci",))


def cosign_of(site: Site) -> Path:
    """Return the public key that cosign verifies with."""
    return site.folder / f"{MINE}.pub"


def by_cosign(site: Site) -> None:
    """Make two keys, and sign: ours with one, the stranger's image with the other."""
    for key, manifests in ((MINE, ours()), (OTHER, (image(FOREIGN).manifest,))):
        prefix = site.folder / key
        site.run(["cosign", "generate-key-pair", "--output-key-prefix", str(prefix)])
        for manifest in manifests:
            name = f"{site.repository}@{made.digest(manifest)}"
            site.run(["cosign", "sign", *SIGN, "--key", f"{prefix}.key", name])


class Gpg(NamedTuple):
    """Where skopeo finds what it checks GPG signatures with."""

    policy: str
    registries: str


def gpg_of(site: Site) -> Gpg:
    """Return the policy and the folder that says where signatures lie."""
    return Gpg(str(site.folder / "policy.json"), str(site.folder / "registries.d"))


def by_gpg(site: Site) -> None:
    """Make two keys, sign as `by_cosign` does, and write a policy that asks for the first."""
    gpg, signatures = gpg_of(site), site.folder / "signatures"
    public = site.folder / "mine.gpg"
    for key, manifests in ((MINE, ours()), (OTHER, (image(FOREIGN).manifest,))):
        home = site.folder / f"gpg-{key}"
        home.mkdir(mode=0o700)
        env = {"GNUPGHOME": str(home)}
        quick = ["--quick-generate-key", f"{key} <{key}@example.invalid>", "ed25519", "sign", "0"]
        site.run(["gpg", "--batch", "--passphrase", "", *quick], env=env)
        listed = site.run(["gpg", "--list-keys", "--with-colons"], env=env)
        print_of = _fingerprint(listed)
        for manifest in manifests:
            _standalone(site, manifest, print_of, signatures, env)
        if key == MINE:
            site.run(["gpg", "--output", str(public), "--export"], env=env)
    Path(gpg.registries).mkdir()
    lookaside = {"docker": {site.address: {"lookaside": f"file://{signatures}"}}}
    (Path(gpg.registries) / "registries.yaml").write_text(json.dumps(lookaside))
    wanted = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(public)}
    scopes = {"docker": {site.address: [wanted]}}
    Path(gpg.policy).write_text(json.dumps({"default": [{"type": "reject"}], "transports": scopes}))


def _standalone(site: Site, manifest: bytes, key: str, signatures: Path, env: dict) -> None:
    digest = made.digest(manifest)
    folder = signatures / f"{made.NAME}@{digest.replace(':', '=')}"
    folder.mkdir(parents=True)
    form = site.folder / "manifest.json"
    form.write_bytes(manifest)
    # A signature states the tag. The older image was once the current one; what an index names is
    # asked for by the index's tag.
    for number, tag in enumerate((CURRENT, made.MANY), start=1):
        out = ["--output", str(folder / f"signature-{number}")]
        name = f"{site.repository}:{tag}"
        site.run(["skopeo", "standalone-sign", *out, str(form), name, key], env=env)
    form.unlink()


def _fingerprint(listed: str) -> str:
    # pub:u:255:22:...  fpr:::::::::0123456789ABCDEF...:
    found = next((line.split(":")[9] for line in listed.splitlines() if line[:4] == "fpr:"), "")
    if not found:
        raise MeasurementError("gpg listed no key that it had just made.")
    return found
