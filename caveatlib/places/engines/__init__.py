"""Docker engines: the reader's own and private ones."""
