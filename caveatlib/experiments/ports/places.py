"""Where `ports` measures: engines alike but for ``userland-proxy``, and each of them again."""

from __future__ import annotations

from caveatlib.experiments.ports import site
from caveatlib.experiments.ports.designs import AGAIN, HAIRPIN, HAIRPIN_AGAIN, PROXY
from caveatlib.instruments import iperf3
from caveatlib.places.engines import private_engine
from caveatlib.places.spec import Spec


def _engine(*, userland_proxy: bool) -> Spec:
    """Return an engine of its own with servers and clients: the reader's is never rebuilt."""
    return Spec(
        needs=(private_engine.probe, iperf3.probe),
        open=lambda s: s.enter(site.site(userland_proxy=userland_proxy)),
    )


PLACES = {
    PROXY: _engine(userland_proxy=True),
    HAIRPIN: _engine(userland_proxy=False),
    AGAIN: _engine(userland_proxy=True),
    HAIRPIN_AGAIN: _engine(userland_proxy=False),
}
