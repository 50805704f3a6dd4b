"""What this machine can measure, and what it lacks."""

from caveatlib import host


def test_abilities_name_what_is_missing():
    """Each says what was found, or what is missing."""
    found = host.capabilities()
    assert len({a.name for a in found}) == len(found)
    assert all(a.reason for a in found)
    assert next(a for a in found if a.name == "process").available
    assert list(host.can_measure()["ability"]) == [a.name for a in found]
