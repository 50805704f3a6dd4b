"""Places that pretend, for tests of experiments and error paths."""
