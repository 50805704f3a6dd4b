"""Virtual machines: QEMU, what boots in it, and what accelerates it."""
