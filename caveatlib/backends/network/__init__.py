"""Published ports: engines with servers and clients around them, and what their paths can do."""
