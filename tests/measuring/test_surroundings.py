"""What this machine is inside of, by the files that each product leaves.

The lines are those that people have shown of such machines in public.
"""

from pathlib import Path

import pytest

from caveatlib.measuring import machine
from caveatlib.measuring.surroundings import surroundings

pytestmark = pytest.mark.beside
DEBIAN = "Linux version 6.12.48+deb13-amd64 (debian-kernel@lists.debian.org) #1 SMP Debian\n"
WSL1 = "Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com) #1237-Microsoft Sat Sep 11\n"
WSL2 = "Linux version 5.15.153.1-microsoft-standard-WSL2 (root@941d701f84f1) #1 SMP Fri Mar 29\n"
DESKTOP = (
    "Linux version 6.10.14-linuxkit (root@buildkitsandbox) #1 SMP PREEMPT_DYNAMIC Fri Nov 29\n"
)
GVISOR = "Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016\n"
NEWER = "Linux version 4.19.0-gvisor #1 SMP Sun Jan 10 15:06:54 PST 2016\n"
MOUNTED = "97 84 0:30 / / rw,nodev,relatime - virtiofs kataShared rw\n"


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({"proc/version": DEBIAN}, []),
        ({}, []),
        ({"proc/version": WSL1}, ["WSL 1"]),
        ({"proc/version": WSL2}, ["WSL 2"]),
        ({"proc/version": DESKTOP, ".dockerenv": ""}, ["Docker Desktop", "a container"]),
        ({"mnt/lima-cidata/meta-data": "", "mnt/lima-colima/x": ""}, ["Colima"]),
        ({"mnt/lima-cidata/meta-data": ""}, ["Lima"]),
        ({"etc/containers/podman-machine": "qemu\n"}, ["Podman machine"]),
        ({"etc/podman-machine": "applehv\n", "proc/version": DEBIAN}, ["Podman machine"]),
        ({"proc/version": WSL2, "etc/podman-machine": "wsl\n"}, ["WSL 2", "Podman machine"]),
        ({"sys/firmware/acpi/tables/FACP": "FACP\x14\x01FIRECKFCVMFADT"}, ["Firecracker"]),
        ({"proc/self/mountinfo": MOUNTED}, ["Kata"]),
        ({"proc/version": GVISOR}, ["gVisor"]),
        ({"proc/version": NEWER, "run/.containerenv": ""}, ["gVisor", "a container"]),
        ({"run/systemd/container": "lxc\n"}, ["a container"]),
    ],
)
def test_each_product_is_told_by_what_it_leaves(tmp_path, files, names):
    """The outermost first; an ordinary machine is inside of nothing."""
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    found = surroundings(tmp_path)
    assert [kind.name for kind in found] == names
    assert all(kind.means.endswith(".") for kind in found)


def test_what_cannot_be_read_tells_nothing(tmp_path):
    """A folder where a file is expected, bytes that are no text."""
    (tmp_path / "proc/version").mkdir(parents=True)
    (tmp_path / "proc/self").mkdir()
    (tmp_path / "proc/self/mountinfo").write_bytes(b"\xff\xfe kataShare")
    assert surroundings(tmp_path) == []


def test_it_is_a_fact_of_the_machine(monkeypatch):
    """A reader of the numbers is told; where nothing is to be told, nothing is."""
    monkeypatch.setattr(machine, "surroundings", lambda: surroundings(Path("/nonexistent")))
    assert "inside" not in machine.describe()
