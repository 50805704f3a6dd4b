"""CPU limits: control groups, load within them, and what tools believe."""
