"""Merged layers, compared with umoci, Docker and bsdtar."""

import io
import os
import random
import stat
import subprocess
import tempfile

import imagebuild as build
import pandas as pd
import pytest

from caveatlib import images
from caveatlib.images import names

pytestmark = pytest.mark.beside

ENGINE_OWN = (".dockerenv", "dev", "etc", "proc", "sys")
"""What an engine puts into every container; the generated images do not use these names."""


class Tree:
    """A model of a root filesystem, for generating consistent layers."""

    def __init__(self, seed: int):
        self.rng = random.Random(seed)
        self.lower: dict[str, str] = {}
        self.modes: dict[str, int] = {}
        self.count = 0

    def layer(self) -> list[build.Entry]:
        """Return the entries of the next layer, in random order as far as tar allows."""
        rng, entries = self.rng, {}
        whiteouts, opaque = [], []
        gone = set()
        for path in rng.sample(sorted(self.lower), min(len(self.lower), rng.randrange(5))):
            if any(f"{path}/".startswith(f"{o}/") or o.startswith(f"{path}/") for o in gone):
                continue
            if self.lower[path] == "dir" and rng.random() < 0.4:
                opaque.append(path)
                entries[path] = build.folder(path + "/", mode=0o700 + rng.randrange(8))
            elif rng.random() < 0.5:
                folder, _, name = path.rpartition("/")
                whiteouts.append(build.file(f"{folder}/.wh.{name}".lstrip("/")))
            else:
                # Another kind of entry at its path, or the same kind again.
                self.add(entries, path)
            gone.add(path)
        for _ in range(rng.randrange(3, 12)):
            self.count += 1
            self.add(entries, self.new_path(entries, gone))
        self.list_parents(entries, whiteouts)
        body = self.ordered(entries)
        marks = whiteouts + [build.file(f"{path}/.wh..wh..opq") for path in opaque]
        for mark in marks:
            body.insert(rng.randrange(len(body) + 1), mark)
        self.apply(entries, gone)
        return body

    def list_parents(self, entries, whiteouts) -> None:
        """Add the folders above each change, as engines do, because overlayfs copies them up."""
        for path in [*entries, *(str(mark.name) for mark in whiteouts)]:
            while path := path.rpartition("/")[0]:
                if path not in entries:
                    entries[path] = build.folder(path + "/", mode=self.modes[path])

    def new_path(self, entries, gone) -> str:
        folders = [""] + [p for p, entry in entries.items() if entry.flag == b"5"]
        folders += [
            p
            for p, kind in self.lower.items()
            if kind == "dir"
            and p not in entries
            and not any(p == other or p.startswith(other + "/") for other in gone)
        ]
        return f"{self.rng.choice(folders)}/n{self.count}".lstrip("/")

    def add(self, entries, path) -> None:
        rng = self.rng
        kind = rng.choice(["file", "file", "dir", "symlink", "hardlink"])
        files = [p for p, e in entries.items() if e.flag == b"0" and p != path]
        if kind == "hardlink" and files:
            target = entries[rng.choice(files)]
            entries[path] = build.hardlink(path, target.name, mode=target.mode)
        elif kind == "dir":
            entries[path] = build.folder(path + "/", mode=0o700 + rng.randrange(64))
        elif kind == "symlink":
            entries[path] = build.symlink(path, f"t{rng.randrange(9)}")
        else:
            mode = rng.choice([0o644, 0o755, 0o4755, 0o2711])
            entries[path] = build.file(path, bytes(rng.randrange(1500)), mode=mode)

    def ordered(self, entries) -> list[build.Entry]:
        """Return parents before children and files before links to them, otherwise at random."""
        left = sorted(entries)
        self.rng.shuffle(left)
        out, done = [], set()
        while left:
            for path in left:
                entry = entries[path]
                parent = path.rpartition("/")[0]
                waits = entry.flag == b"1" and entry.link not in done
                if not (waits or (parent in entries and parent not in done)):
                    out.append(entry)
                    done.add(path)
                    left.remove(path)
                    break
        return out

    def apply(self, entries, gone) -> None:
        for path in list(self.lower):
            if any(path == other or path.startswith(other + "/") for other in gone):
                del self.lower[path]
        for path, entry in entries.items():
            self.lower[path] = "dir" if entry.flag == b"5" else "other"
            self.modes[path] = entry.mode


def generated(seed: int) -> list[list[build.Entry]]:
    """Return 2 to 6 layers with links, whiteouts, opaque folders and replaced entries."""
    tree = Tree(seed)
    return [tree.layer() for _ in range(2 + seed % 5)]


def visible(image: images.Image) -> dict[str, tuple]:
    """Return path to (type, mode, size, link target), with hard links as files."""
    return as_tree(image.files)


def as_tree(table) -> dict[str, tuple]:
    out, sizes = {}, {}
    for row in table.itertuples():
        kind, size = row.type, row.size_bytes
        if kind == "hard link":
            kind, size = "file", sizes[row.layer, names.normalise(row.link_target)]
        sizes[row.layer, row.path] = size
        target = row.link_target if kind == "symlink" else ""
        mode = 0o777 if kind == "symlink" else row.mode
        if pd.isna(row.hidden_by):
            out[row.path] = (kind, mode, size, target)
    return out


def on_disk(root) -> dict[str, tuple]:
    """Return the content of a folder in the same form."""
    out = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            kind = {stat.S_IFDIR: "directory", stat.S_IFREG: "file", stat.S_IFLNK: "symlink"}[
                stat.S_IFMT(info.st_mode)
            ]
            size = info.st_size if kind == "file" else 0
            target = os.readlink(path) if kind == "symlink" else ""
            mode = 0o777 if kind == "symlink" else stat.S_IMODE(info.st_mode)
            out["/" + os.path.relpath(path, root)] = (kind, mode, size, target)
    return out


def same(found: dict[str, tuple], expected: dict[str, tuple]) -> None:
    """Compare two trees."""
    assert sorted(found) == sorted(expected)
    assert found == expected


@pytest.mark.parametrize("seed", range(30))
def test_same_as_umoci(seed, tmp_path, require):
    """The visible entries of a generated image are those that umoci unpacks."""
    require("umoci")
    require("owners")
    layers = generated(seed)
    build.write_layout(
        build.oci([{"name": "latest", "layers": layers, "codec": "gzip"}]), tmp_path / "oci"
    )
    subprocess.run(
        ["umoci", "unpack", "--image", "oci:latest", "bundle"],
        cwd=tmp_path, check=True, timeout=60, capture_output=True,
    )  # fmt: skip
    same(visible(images.read(tmp_path / "oci")), on_disk(tmp_path / "bundle" / "rootfs"))


def test_the_generator_covers_what_it_should():
    """Among the 30 images are whiteouts, opaque folders, hard links and replaced folders."""
    seen = set()
    for seed in range(30):
        kinds: dict[str, bytes] = {}
        for layer in generated(seed):
            for entry in layer:
                path = str(entry.name).rstrip("/")
                base = path.rpartition("/")[2]
                if base == ".wh..wh..opq":
                    seen.add("opaque")
                elif base.startswith(".wh."):
                    seen.add("whiteout")
                elif entry.flag == b"1":
                    seen.add("hard link")
                if kinds.get(path) not in (None, entry.flag):
                    seen.add("folder replaced" if kinds[path] == b"5" else "other replaced")
                kinds[path] = entry.flag
    assert seen == {"opaque", "whiteout", "hard link", "folder replaced", "other replaced"}


@pytest.mark.engine
def test_same_as_docker_export(require):
    """All 30 images, loaded into a real engine and exported, have the entries that we list.

    The engine's own `docker save` archive of one reads the same as the
    original, from a file and as a stream.
    """
    from caveatlib.places.engines import private_engine

    require("private-engine")
    specs = [{"name": f"g:{seed}", "layers": generated(seed)} for seed in range(30)]
    data = build.archive(build.oci(specs, manifest_json=True))
    with tempfile.TemporaryDirectory(prefix="cv-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAVEATLIB_STATE", folder)
        with private_engine.private_engine() as engine:
            for answer in engine.api.load_image(io.BytesIO(data)):
                assert "error" not in answer
            path = os.path.join(folder, "export.tar")
            with open(path, "wb") as file:
                file.write(data)
            for image in images.read_all(path):
                container = engine.api.create_container(image.name, ["/x"])["Id"]
                with open(path, "wb") as file:
                    for chunk in engine.api.export(container):
                        file.write(chunk)
                engine.api.remove_container(container)
                table = images.list_tar(path)
                own = table["path"].str.split("/").str[1].isin(ENGINE_OWN)
                same(visible(image), as_tree(table[~own]))
            saved = b"".join(engine.api.get_image("g:4"))
            first = images.read_stream([data], name="g:4")
            with open(path, "wb") as file:
                file.write(saved)
            for image in (images.read(path), images.read_stream(io.BytesIO(saved))):
                assert image.layers["diff_id"].tolist() == first.layers["diff_id"].tolist()
                same(visible(image), visible(first))


@pytest.mark.parametrize("seed", range(0, 30, 5))
def test_same_counts_and_sizes_as_bsdtar(seed, tmp_path, require):
    """Entries and bytes of each layer are those that bsdtar lists."""
    require("bsdtar")
    for number, layer in enumerate(generated(seed)):
        path = tmp_path / f"{number}.tar"
        path.write_bytes(build.tar(layer))
        listing = subprocess.run(
            ["bsdtar", "tvf", str(path)], check=True, timeout=30, capture_output=True, text=True
        ).stdout.splitlines()
        table = images.list_tar(path)
        assert len(table) == len(listing)
        assert table["size_bytes"].sum() == sum(int(line.split()[4]) for line in listing)


def two(lower, upper) -> images.Image:
    return images.read_stream([build.archive(build.oci([{"layers": [lower, upper]}]))])


def hidden(image: images.Image) -> list[str]:
    table = image.files
    return table["path"][table["hidden_by"].notna()].tolist()


def test_rules_one_by_one():
    """Each rule of the docstring of `merge`, on its own."""
    lower = [build.folder("d/"), build.file("d/f", b"x"), build.symlink("l", "d"), build.file("e")]
    assert hidden(two(lower, [build.file(".wh.d")])) == ["/d", "/d/f"]
    assert hidden(two(lower, [build.file("d/.wh..wh..opq")])) == ["/d/f"]
    assert hidden(two(lower, [build.folder("d/", mode=0o700)])) == ["/d"]
    assert hidden(two(lower, [build.file("d")])) == ["/d", "/d/f"]
    assert hidden(two(lower, [build.file("l/new")])) == ["/l"]
    assert hidden(two(lower, [build.file("d/.wh..wh.plnk")])) == []
    assert hidden(two(lower, [build.file("d/.wh.other")])) == []
    both = [build.file("d/g"), build.file("d/.wh..wh..opq"), build.file("d/h")]
    assert hidden(two(lower, both)) == ["/d/f"]
    assert hidden(two([build.file("a", b"1"), build.file("a", b"2")], [])) == ["/a"]


def test_nearest_layer_is_named():
    """`hidden_by` is the first later layer that hides a file, also by its folder."""
    layers = [
        [build.folder("d/"), build.file("d/f", b"1")],
        [build.file("other")],
        [build.file("d/f", b"22")],
        [build.file(".wh.d")],
    ]
    data = build.archive(build.oci([{"layers": layers}]))
    table = images.read_stream([data]).files
    assert table["hidden_by"].fillna(-1).tolist() == [3, 2, -1, 3]


def test_hard_linked_bytes_are_not_wasted():
    """A deleted name wastes nothing while a hard link in its layer keeps the bytes."""
    lower = [build.file("a", b"x" * 100), build.hardlink("b", "a")]
    kept = two(lower, [build.file(".wh.a")])
    assert kept.layers["wasted_bytes"].tolist() == [0, 0]
    lost = two(lower, [build.file(".wh.a"), build.file(".wh.b")])
    assert lost.layers["wasted_bytes"].tolist() == [100, 0]
    assert lost.layers["size_bytes"].tolist() == [100, 0]
