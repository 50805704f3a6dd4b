"""Private facts, planted wherever they could leak from, and the search for them.

`planted` gives made-up values that occur nowhere else. `environment` and the
fake inputs (`engine_info`, `inspected`, `image_config`, `iperf3`) hold them the
way the real ones do. `assert_absent` searches everything that was written.
"""

import base64
import gzip
import os
import re
import socket
from pathlib import Path
from urllib.parse import quote


def planted() -> dict[str, str]:
    """Return 30 private facts by name, each a text that occurs nowhere else."""
    return {
        "host name": "zephyr-laptop-7431",
        "domain": "qorvex-intern.example",
        "user": "mkowalczyk77",
        "full name": "Mirabella Kowalczyk-Zufall",
        "home": "/home/mkowalczyk77-home",
        "working folder": "/srv/projekt-nachtigall",
        "cache folder": "/var/tmp/zwischenlager-5512",
        "address v4": "203.0.113.197",
        "address v4, client": "198.51.100.214",
        "address v6": "2001:db8:5eed:cafe::1f37",
        "hardware address": "5e:ed:ca:fe:73:19",
        "machine id": "d41c8a7be05f4a2f9c3bb7e1a6604f55",
        "boot id": "0f2b6c1e-77aa-4c15-9e0d-5b1de9a3c8f4",
        "proxy with password": "http://mallory:Pr0xyGeheim@proxy.qorvex-lan.example:3128",
        "proxy host": "proxy.qorvex-lan.example",
        "proxy password": "Pr0xyGeheim",
        "git token": "ghp_F4keT0kenF4keT0kenF4keT0kenF4keT0k",
        "cloud key": "AKIAFAKEFAKE7431FAKE",
        "cloud secret": "wJalrFAKEutnFEMI/K7MDENG/bPxRfiCYFAKEKEY",
        "notebook token": "a3f9c0ffee12ab77cd90fa1e55e77aa0b1c2d3e4",
        "registry host": "registry.qorvex-lan.example:5443",
        "registry password": "cmVnaXN0cnktcGFzc3dvcmQtZmFrZQ",
        "private image": "nachtigall/geheimprojekt",
        "container name": "wandering_nachtigall_42",
        "container environment": "DB_PASSWORD=Fl1egenpilz",
        "label": "com.qorvex.costcentre=KST-99-4711",
        "build argument": "NPM_TOKEN=npm_F4keBu1ldArgument",
        "engine id": "QX7F:ZZ3K:FAKE:ENGI:NEID:7431",
        "iperf3 cookie": "k4xq7zfakecookieofiperf3zzzz",
        "ssh client": "198.51.100.23 52114 22",
    }


def machine() -> dict[str, str]:
    """Return this machine's own facts that must not be written, where they are telling."""
    facts = {
        "own host name": socket.gethostname(),
        "own user": os.environ.get("SUDO_USER") or os.environ.get("USER", ""),
        "own home": os.path.expanduser("~"),
    }
    for file in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        path = Path(file)
        facts[f"own {path.name}"] = path.read_text().strip() if path.is_file() else ""
    common = {"root", "/root", "user", "runner", "localhost", "debian", "docker"}
    return {k: v for k, v in facts.items() if len(v) > 4 and v not in common}


def environment(values: dict[str, str], home: str | os.PathLike | None = None) -> dict[str, str]:
    """Return environment variables that hold the planted facts.

    `home`, if given, is a real folder to be $HOME; its name should be planted.
    """
    return {
        "HOSTNAME": values["host name"],
        "USER": values["user"],
        "LOGNAME": values["user"],
        "SUDO_COMMAND": f"{values['working folder']}/run",
        "GIT_AUTHOR_NAME": values["full name"],
        "HOME": str(home or values["home"]),
        "OLDPWD": values["working folder"],
        "http_proxy": values["proxy with password"],
        "HTTPS_PROXY": values["proxy with password"],
        "GITHUB_TOKEN": values["git token"],
        "AWS_ACCESS_KEY_ID": values["cloud key"],
        "AWS_SECRET_ACCESS_KEY": values["cloud secret"],
        "JPY_API_TOKEN": values["notebook token"],
        "JUPYTER_TOKEN": values["notebook token"],
        "DOCKER_AUTH_CONFIG": values["registry password"],
        "SSH_CONNECTION": f"{values['ssh client']} {values['address v4']}",
        "SSH_CLIENT": values["ssh client"],
        "DB_PASSWORD": values["container environment"].partition("=")[2],
    }


def engine_info(values: dict[str, str]) -> dict:
    """Return what an engine says of itself (``GET /info``), in part."""
    return {
        "ID": values["engine id"],
        "Name": values["host name"],
        "DockerRootDir": values["cache folder"],
        "HttpProxy": values["proxy with password"],
        "NoProxy": values["domain"],
        "Labels": [values["label"]],
        "RegistryConfig": {"IndexConfigs": {values["registry host"]: {"Secure": False}}},
        "ServerVersion": "26.1.5",
        "Driver": "overlay2",
    }


def inspected(values: dict[str, str]) -> dict:
    """Return what an engine says of a container (``GET /containers/x/json``), in part."""
    key, _, value = values["label"].partition("=")
    return {
        "Name": "/" + values["container name"],
        "Config": {
            "Hostname": values["host name"],
            "User": values["user"],
            "Env": [values["container environment"], f"http_proxy={values['proxy with password']}"],
            "Image": f"{values['registry host']}/{values['private image']}:1",
            "Labels": {key: value},
            "WorkingDir": values["working folder"],
        },
        "NetworkSettings": {
            "IPAddress": values["address v4"],
            "GlobalIPv6Address": values["address v6"],
            "MacAddress": values["hardware address"],
        },
    }


def image_config(values: dict[str, str]) -> dict:
    """Return an image's configuration, in part."""
    key, _, value = values["label"].partition("=")
    return {
        "author": values["full name"],
        "config": {"Env": [values["container environment"]], "Labels": {key: value}},
        "history": [{"created_by": f"|1 {values['build argument']} /bin/sh -c npm ci"}],
        "os": "linux",
    }


def iperf3(values: dict[str, str]) -> dict:
    """Return what iperf3 prints with ``--json``, in part."""
    return {
        "start": {
            "connected": [
                {
                    "local_host": values["address v4, client"],
                    "remote_host": values["address v6"],
                }
            ],
            "system_info": f"Linux {values['host name']} 6.12 x86_64",
            "cookie": values["iperf3 cookie"],
            "connecting_to": {"host": values["address v4"], "port": 5201},
        },
        "end": {"sum_received": {"bytes": 125_000_000, "seconds": 1.0, "bits_per_second": 1e9}},
    }


def found(content: bytes, values: dict[str, str]) -> list[str]:
    """Return the names of the facts that occur in the content, plain or encoded."""
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    lower = content.lower()
    return [
        name
        for name, value in values.items()
        if any(form.lower() in lower for form in _forms(value))
        or any(form in content for form in _base64(value))
    ]


def assert_absent(folder: str | os.PathLike, values: dict[str, str]) -> int:
    """Fail if any file, link or name below the folder holds a fact; return the files searched."""
    leaks, files = [], 0
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder)).encode()
        if path.is_symlink():
            name += b" " + os.readlink(path).encode()
        content = b""
        if path.is_file() and not path.is_symlink():
            content, files = path.read_bytes(), files + 1
        for what in {*found(name, values), *found(content, values)}:
            leaks.append(f"{what} in {path.relative_to(folder)}")
    assert not leaks, "; ".join(sorted(leaks))
    return files


def _forms(value: str) -> set[bytes]:
    """Return the value as text, percent-encoded, in JSON, and as a name's part of a path."""
    texts = {value, quote(value), quote(value, safe=""), value.replace("/", "\\/")}
    texts.add(re.sub(r"[^\w.-]", "-", value))
    return {text.encode() for text in texts}


def _base64(value: str) -> set[bytes]:
    """Return what base64 makes of the value at each of three offsets, without its rims."""
    forms = set()
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + value.encode())
        start, rest = (0, 2, 3)[offset], (offset + len(value.encode())) % 3
        forms.add(coded[start : len(coded) - (4 if rest else 0)])
    return forms
