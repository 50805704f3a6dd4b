"""Images that are built, run and moved for real."""
