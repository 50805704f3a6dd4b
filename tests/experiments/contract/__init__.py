"""What every experiment is held to, read from what it declares."""
