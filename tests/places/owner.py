"""A program that holds what tests kill it for: run as ``python owner.py KIND``.

Writes one line of JSON when everything is up, then waits for its end.
"""

import json
import os
import sys
import threading
import time
from contextlib import ExitStack

from caveatlib.places import namespaces, process, runc
from caveatlib.places.base import Workload
from caveatlib.places.engines import private_engine
from caveatlib.places.engines.containers import EnginePlace
from caveatlib.places.machines import vm

SCRIPT = "echo up; httpd -p 8765 -h www; while :; do sleep 1; done"


def _engine(stack):
    engine = stack.enter_context(private_engine.private_engine())
    instance = EnginePlace(engine).create(Workload(SCRIPT, 8765))
    instance.start()
    return {"engine": engine.pid, "pids": instance.pids()}


def _engine_from_thread(stack):
    told = {}
    thread = threading.Thread(target=lambda: told.update(_engine(stack)))
    thread.start()
    thread.join()
    return told


def _engine_and_fork(stack):
    told = _engine(stack)
    # A forked child (e.g. of multiprocessing) inherits every pipe, and lives on.
    told["child"] = os.fork()
    if told["child"] == 0:
        time.sleep(30)
        os._exit(0)
    return told


def _spawned(opener):
    def start(stack):
        instance = stack.enter_context(opener()).create(Workload("while :; do sleep 1; done"))
        instance.start()
        return {"pids": instance.pids()}

    return start


KINDS = {
    "engine": _engine,
    "thread": _engine_from_thread,
    "fork": _engine_and_fork,
    "process": _spawned(process.process_place),
    "namespaces": _spawned(namespaces.namespaces_place),
    "runc": _spawned(runc.runc_place),
    "microvm": _spawned(lambda: vm.vm_place("microvm")),
}

if __name__ == "__main__":
    with ExitStack() as outer:
        print(json.dumps(KINDS[sys.argv[1]](outer)), flush=True)
        sys.stdin.read()
