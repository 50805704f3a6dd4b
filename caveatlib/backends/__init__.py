"""Where a workload can run. Every backend offers context managers and `probe`."""
