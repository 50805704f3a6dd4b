"""What every room stands on: paths, privacy, the data package's format, programs."""
