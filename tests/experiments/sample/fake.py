"""Fakes of the places of the sample experiment, whose pauses last a tenth of their time."""

from places.fake import FakePlace, spec

PLACES = {
    name: spec(lambda name: FakePlace(name, sleeps=0.1), name) for name in ("process", "namespaces")
}
