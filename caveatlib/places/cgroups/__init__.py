"""Control groups: version 1 and 2, limits, and a group with limits as a place."""
