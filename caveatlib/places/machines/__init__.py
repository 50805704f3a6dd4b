"""Virtual machines in QEMU."""
