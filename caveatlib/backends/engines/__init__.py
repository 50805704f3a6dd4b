"""Docker engines: the reader's own, private ones, and containers as places."""
