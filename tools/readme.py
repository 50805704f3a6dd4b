"""Write what the README says of the data, and its pictures: python tools/readme.py.

The parts between ``<!-- NAME -->`` and ``<!-- end -->`` are made from the recorded data, the
notebooks' metadata and the command line; `parts` returns them for a test, too.
"""

import re
from pathlib import Path

import nbformat

from caveatlib import notebooks, report, scorecard
from caveatlib.cli import app
from caveatlib.page import pictures

ROOT = Path(__file__).parents[1]
PICTURES = {
    scheme: ROOT / "data" / "pictures" / f"scorecard-{scheme}.svg" for scheme in ("light", "dark")
}
FINDINGS = 3


def parts() -> dict[str, str]:
    """Return the made parts of the README by name, and the pictures by path."""
    entries = scorecard.entries("recorded")
    made = {str(path): pictures.strip(entries, scheme=s) for s, path in PICTURES.items()}
    return made | {
        "picture": _picture(entries),
        "findings": _findings(),
        "notebooks": _notebooks(),
        "commands": _commands(),
    }


def _picture(entries) -> str:
    light, dark = (path.relative_to(ROOT) for path in PICTURES.values())
    alt = scorecard.tally(entries)
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{alt}" width="830"></picture>'
    )


def _findings() -> str:
    sources = {e.NAME: "recorded" for e in report.ALL}
    found = report.highlights(sources)[:FINDINGS]
    return "\n".join(f"* **{h.number}** {h.sentence} ({h.claim})" for h in found)


def _notebooks() -> str:
    rows = []
    for path in notebooks.files():
        about = nbformat.read(path, as_version=4).metadata["caveatlib"]
        rows.append(f"| [{path.stem}](notebooks/{path.name}) | {about['about']} |")
    return "\n".join(["| Notebook | What it shows |", "|---|---|", *rows])


def _commands() -> str:
    rows = []
    for command in app.registered_commands:
        said = command.callback.__doc__.partition("\n")[0]
        name = command.name or command.callback.__name__
        rows.append(f"| `caveatlib {name}` | {said} |")
    return "\n".join(["| Command | Does |", "|---|---|", *rows])


def filled(text: str, made: dict[str, str]) -> str:
    """Return the README's text with its made parts anew."""
    for name, part in made.items():
        marks = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(\n<!-- end -->)", re.S)
        text = marks.sub(lambda m, part=part: m[1] + part + m[2], text)
    return text


if __name__ == "__main__":
    content = parts()
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text(encoding="utf-8"), content), encoding="utf-8")
    for path in PICTURES.values():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content[str(path)], encoding="utf-8")
