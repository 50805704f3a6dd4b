"""Fakes of the places of the sample experiment."""

from places.fake import places

PLACES = places("process", "namespaces")
