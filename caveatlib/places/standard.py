"""Places that several experiments measure in, each stated once.

An experiment takes them into its `PLACES` under the name that its data carry.
"""

from __future__ import annotations

from functools import partial

from caveatlib.places import namespaces, process, runc
from caveatlib.places.engines.containers import EnginePlace
from caveatlib.places.machines import accel, vm
from caveatlib.places.spec import Spec

PROCESS = Spec(needs=(process.probe,), open=lambda s: s.enter(process.process_place()))
NAMESPACES = Spec(needs=(namespaces.probe,), open=lambda s: s.enter(namespaces.namespaces_place()))
RUNC = Spec(needs=(runc.probe,), open=lambda s: s.enter(runc.runc_place("runc")))


def docker(runtime: str) -> Spec:
    """Return a container of the session's engine under an OCI runtime (`runc.RUNTIMES`)."""
    return Spec(runtime=runtime, open=lambda s: EnginePlace(s.engine(), runtime=runtime))


def machine(kind: str) -> Spec:
    """Return a virtual machine of a kind (`vm.KINDS`), emulated where there is no KVM."""
    return Spec(
        needs=(partial(vm.probe, kind),),
        better_with=(accel.probe,),
        open=lambda s: s.enter(vm.vm_place(kind)),
    )
