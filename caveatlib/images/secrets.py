"""Files that look like secrets, those that a later layer hides among them.

A deleted file is gone for the container and stays in the image: whoever has the archive reads it.
A private key is known by how it begins, other secrets by their names. So this is a list of
places to look at: an empty ``.npmrc`` is on it, and a password in a script is not. What a package
brings (e.g. test keys) is left out.
"""

from __future__ import annotations

import re

KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")
KEY_HEAD = 64
"""Bytes in which a private key shows."""
KEY_NAMES = (b".pem", b".key", b"id_rsa", b"id_dsa", b"id_ecdsa", b"id_ed25519")
"""Endings of names whose content is looked at, if not every file's is."""
PRIVATE_KEY = "private key"
_BY_NAME = re.compile(
    r".*/(?:(?P<login>\.netrc|\.pgpass|\.git-credentials|\.npmrc|\.pypirc|\.dockercfg"
    r"|\.docker/config\.json|\.aws/credentials|\.kube/config)"
    r"|(?P<settings>\.env))"
)


def kind(path: str, *, is_key: bool) -> str:
    """Return what secret a file seems to be: a private key, a login, settings; or ""."""
    if is_key:
        return PRIVATE_KEY
    found = _BY_NAME.fullmatch(path)
    return (found.lastgroup or "") if found else ""
