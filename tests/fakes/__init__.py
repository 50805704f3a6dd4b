"""Fakes of places, for tests of error paths and contracts."""
