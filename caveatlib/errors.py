"""The errors that caveatlib raises on purpose.

Each is also the nearest built-in, so that ``except ValueError`` keeps working
for whoever does not know this module. A message states the offending value
first and then the rule or the fix: ``Unknown place 'dockr'. Must be one of
'process', 'runc'.``
"""

import subprocess


class CaveatError(Exception):
    """Base of every error that caveatlib raises on purpose."""


class UsageError(CaveatError, ValueError):
    """A request that cannot be meant: an unknown name, a number out of range."""


class DataError(CaveatError, ValueError):
    """Stored or measured data that break their contract."""


class ImageError(DataError):
    """A container image that is malformed, cut, tampered with or over a limit."""


class Unavailable(CaveatError, RuntimeError):
    """Something that this machine lacks; the message says what would mend it."""


class MeasurementError(CaveatError, RuntimeError):
    """A measurement that was tried and failed."""


class EngineError(MeasurementError):
    """An answer of a Docker engine that is an error, or no sensible answer."""


class DeadlineExceeded(MeasurementError, TimeoutError):
    """A call that did not finish within its total deadline."""


class StorageError(CaveatError, OSError):
    """A file or folder that cannot be written or read."""


FAILURES = (CaveatError, OSError, subprocess.SubprocessError)
"""What opening a place or a trial may end with: it fails, and the run goes on."""
