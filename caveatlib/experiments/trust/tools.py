"""The tools: what each is asked, what it answers, and what it then holds.

A tool is given a reference or a path and returns what it took for the image, or raises `Refused`.
What it wrote lies below the folder that it is given.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from caveatlib import images
from caveatlib.errors import DeadlineExceeded, ImageError, MeasurementError, Unavailable
from caveatlib.experiments.trust import made, signing
from caveatlib.experiments.trust.made import CURRENT, PAYLOAD, image
from caveatlib.experiments.trust.site import Site
from caveatlib.experiments.trust.tampering import ARCHIVE, DIGEST, LAYOUT, TAG

SKOPEO = ("skopeo", "--insecure-policy")


class Refused(MeasurementError):
    """A tool did not take what it was given; the message has its words."""


class Asked(NamedTuple):
    """What a tool is asked for.

    Attributes
    ----------
    form : str
        One of `tampering.FORMS`.
    name : str
        In a registry ``host:port/name:tag`` or ``...@digest``; else a path.
    """

    form: str
    name: str


@dataclass(frozen=True)
class Held:
    """What a tool took for the image; what it does not know is None.

    Attributes
    ----------
    payload : bytes, optional
        The file as a container would see it.
    command : str, optional
        What a container would run.
    identity : tuple of str, optional
        Digests that stand for all of it.
    """

    payload: bytes | None = None
    command: str | None = None
    identity: tuple[str, ...] | None = None


Tool = Callable[[Site, Asked, Path], Held]


def same(held: Held, *, many: bool) -> bool:
    """Whether a tool holds what was published; `many`: it was asked for by the index."""
    current = image(CURRENT)
    digests = (*map(made.digest, current.layers), made.digest(current.config))
    manifest = made.digest(made.index()) if many else current.digest
    return (
        held.payload in (None, current.payloads[-1])
        and held.command in (None, current.command)
        and held.identity in (None, digests, (manifest,))
    )


def program(site: Site, argv: list[str], **options) -> str:
    """Run a tool's program; a status other than 0 is a refusal.

    Raises
    ------
    Refused
        With the last line that it wrote.
    DeadlineExceeded, Unavailable
        It did not end, or is missing: nothing is known of the image.
    """
    try:
        return site.run(argv, **options)
    except (DeadlineExceeded, Unavailable):
        raise
    except MeasurementError as error:
        raise Refused(str(error)) from None


def skopeo(site: Site, asked: Asked, out: Path) -> Held:
    """Copy to a folder of blobs, without a policy."""
    return _copied(site, [*SKOPEO, "copy"], asked, out)


def signed(site: Site, asked: Asked, out: Path) -> Held:
    """Copy to a folder of blobs, under a policy that asks for a GPG signature."""
    gpg = signing.gpg_of(site)
    argv = ["skopeo", "--policy", gpg.policy, "--registries.d", gpg.registries, "copy"]
    return _copied(site, argv, asked, out)


def _copied(site: Site, argv: list[str], asked: Asked, out: Path) -> Held:
    target = out / "copy"
    form = {
        TAG: f"docker://{asked.name}",
        DIGEST: f"docker://{asked.name}",
        ARCHIVE: f"docker-archive:{asked.name}:{made.NAME}:{CURRENT}",
        LAYOUT: f"oci:{asked.name}:{CURRENT}",
    }[asked.form]
    program(site, [*argv, "--src-tls-verify=false", form, f"dir:{target}"])
    manifest = json.loads((target / "manifest.json").read_bytes())
    config = json.loads(_part(target, manifest["config"]))
    payload = None
    for layer in manifest["layers"]:
        payload = _payload(_part(target, layer)) or payload
    return Held(payload, " ".join(config["config"]["Cmd"]))


def _part(folder: Path, item: Mapping) -> bytes:
    return (folder / item["digest"].removeprefix("sha256:")).read_bytes()


def _payload(layer: bytes) -> bytes | None:
    data = gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer
    with tarfile.open(fileobj=io.BytesIO(data)) as archive, suppress(KeyError):
        found = archive.extractfile(PAYLOAD)
        return found.read() if found else None
    return None


def umoci(site: Site, asked: Asked, out: Path) -> Held:
    """Unpack to a bundle for runc."""
    bundle = out / "bundle"
    program(site, ["umoci", "unpack", "--image", f"{asked.name}:{CURRENT}", str(bundle)])
    args = json.loads((bundle / "config.json").read_bytes())["process"]["args"]
    return Held((bundle / "rootfs" / PAYLOAD).read_bytes(), " ".join(args))


def cosign(site: Site, asked: Asked, out: Path) -> Held:
    """Verify the signature; nothing is fetched but the manifest."""
    return Held(identity=(_verified(site, asked),))


def _verified(site: Site, asked: Asked) -> str:
    key = signing.cosign_of(site)
    argv = ["cosign", "verify", *signing.VERIFY, "--key", str(key), asked.name]
    answer = program(site, argv)
    # [{"critical": {"image": {"docker-manifest-digest": "sha256:..."}}, ...}]
    lines = [line for line in answer.splitlines() if line.startswith("[")]
    return json.loads(lines[-1])[0]["critical"]["image"]["docker-manifest-digest"]


def pinned(site: Site, asked: Asked, out: Path) -> Held:
    """Verify the signature, then copy the image by the digest that was verified."""
    digest = _verified(site, asked)
    return skopeo(site, Asked(DIGEST, f"{site.repository}@{digest}"), out)


def reader(site: Site, asked: Asked, out: Path) -> Held:
    """Read with `caveatlib.images`, which writes nothing."""
    name = {ARCHIVE: f"{made.NAME}:{CURRENT}", LAYOUT: CURRENT}.get(asked.form)
    where = f"registry://{asked.name}" if name is None else asked.name
    try:
        found = site.call(lambda: images.read(where, name=name))
    except ImageError as error:
        raise Refused(str(error)) from None
    config = next(check.digest for check in found.checked if check.part == "config")
    return Held(identity=(*found.layers["diff_id"], config))


def write(asked: Asked, files: Mapping[str, bytes]) -> None:
    """Write the archive or the layout that a tool is asked for."""
    path = Path(asked.name)
    if asked.form == ARCHIVE:
        path.write_bytes(made.tar(files))
        return
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def left_in(out: Path) -> int:
    """Return how many files of the image lie below a folder: layers, or what was in them."""
    found = [p for p in out.rglob("*") if p.is_file() and p.stat().st_size >= made.PAYLOAD_BYTES]
    return len(found)


def empty(folder: Path) -> None:
    """Remove everything in a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
