"""A stand-in for QEMU: a shell script that is started as QEMU would be."""

from pathlib import Path

from caveatlib.places.machines import qemu

# Finds the log among its arguments, says hello, and obeys the first line it reads.
ORDERLY = """#!/bin/sh
for argument; do
    case $argument in *logfile=*) log=${argument#*logfile=}; log=${log%%,*};; esac
done
echo hello
read -r word
echo "caveatlib: exit 3" >>$log
echo "got $word"
"""
# A shell, so that its own path stays in its command line.
DEAF = "#!/bin/sh\necho hello\nwhile :; do sleep 0.1; done\n"
BROKEN = "#!/bin/sh\necho 'qemu-system-x86_64: no such board' >&2\nexit 1\n"
# Told its exit status, but does not go.
STUCK = ORDERLY + "while :; do sleep 0.1; done\n"
PANICKED = """#!/bin/sh
for argument; do
    case $argument in *logfile=*) log=${argument#*logfile=}; log=${log%%,*};; esac
done
echo "[    0.9] Kernel panic - not syncing: Attempted to kill init!" >>$log
"""


def machine(folder: Path, script: str) -> qemu.Machine:
    """Return a machine whose QEMU is to be the program ``qemu`` in the folder."""
    program = folder / "qemu"
    program.write_text(script)
    program.chmod(0o755)
    (folder / "vmlinuz").write_bytes(b"kernel")
    (folder / "initramfs").write_bytes(b"files")
    return qemu.Machine(folder / "vmlinuz", (folder / "initramfs",), "microvm", "tcg")
