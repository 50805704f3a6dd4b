"""The one measuring loop: designs, journal, and what becomes of a run."""
