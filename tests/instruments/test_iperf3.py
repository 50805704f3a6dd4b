"""iperf3's reports: what becomes a number, what never does, what is kept."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import canaries
import left
import pytest

from caveatlib.errors import DeadlineExceeded, MeasurementError, Unavailable
from caveatlib.instruments import iperf3

SAMPLES = Path(__file__).parents[1] / "samples/iperf3"


def sample(name: str) -> str:
    return (SAMPLES / name).read_text()


def changed(**received) -> str:
    data = json.loads(sample("normal-1-stream.json"))
    data["end"]["sum_received"] |= received
    return json.dumps(data)


def test_normal_report():
    """One stream reads what the receiver got, over the receiver's time."""
    report = iperf3.parse(sample("normal-1-stream.json"))
    received = json.loads(sample("normal-1-stream.json"))["end"]["sum_received"]
    assert report.version == "iperf 3.18"
    assert report.streams == 1
    assert report.received_bytes == received["bytes"]
    assert report.rate_bit_per_s == pytest.approx(received["bits_per_second"])
    assert report.congestion == "bbr"
    assert 0 < report.client_cpu < 1 and 0 < report.server_cpu < 1  # noqa: PT018


def test_streams_are_summed():
    """Four streams read their sum, not one of them, and retransmits of all."""
    report = iperf3.parse(sample("normal-4-streams.json"))
    end = json.loads(sample("normal-4-streams.json"))["end"]
    assert report.streams == 4
    assert report.received_bytes == sum(s["receiver"]["bytes"] for s in end["streams"])
    assert report.retransmits == sum(s["sender"]["retransmits"] for s in end["streams"])


def test_format_does_not_change_the_unit():
    """A report asked for in megabytes is in bits per second all the same."""
    report = iperf3.parse(sample("format-mbytes.json"))
    assert report.rate_bit_per_s == pytest.approx(
        report.received_bytes * 8 / report.duration_s, rel=1e-6
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("error-refused.json", "unable to connect"),
        ("error-busy.json", "busy"),
        ("zero-bytes.json", "0 bytes"),
        ("text-mbytes.txt", "not a complete JSON"),
    ],
)
def test_no_number(name, reason):
    """An error, no bytes, or text in other units never becomes a number."""
    with pytest.raises(MeasurementError, match=reason):
        iperf3.parse(sample(name))


def test_error_beside_figures():
    """A report with an error is refused even if it holds figures."""
    data = json.loads(sample("normal-1-stream.json")) | {"error": "interrupt - broken pipe"}
    with pytest.raises(MeasurementError, match="broken pipe"):
        iperf3.parse(json.dumps(data))


@pytest.mark.parametrize("name", ["normal-1-stream.json", "normal-4-streams.json"])
def test_cut_short(name):
    """Every proper beginning of a report is refused."""
    whole = sample(name).rstrip()
    for length in range(0, len(whole), 13):
        with pytest.raises(MeasurementError):
            iperf3.parse(whole[:length])


@pytest.mark.parametrize("text", ["", "[]", "null", "3", '"x"', '{"end": null}', '{"start": {}}'])
def test_other_documents(text):
    """JSON that is no report is refused."""
    with pytest.raises(MeasurementError):
        iperf3.parse(text)


@pytest.mark.parametrize(
    "received",
    [
        {"bits_per_second": 2.65e9},  # bytes taken for bits
        {"bytes": 1},
        {"seconds": 0},
        {"seconds": -1.0},
        {"bits_per_second": None},
        {"bytes": "many"},
    ],
)
def test_contradictions(received):
    """Bytes, seconds and rate must agree."""
    with pytest.raises(MeasurementError):
        iperf3.parse(changed(**received))


@pytest.mark.parametrize(
    ("client", "server", "cores", "bound"),
    [
        (94.9, 0.0, 1, False),
        (95.0, 0.0, 1, True),
        (47.5, 47.4, 1, False),
        (47.5, 47.5, 1, True),
        (95.0, 94.8, 2, False),
        (95.0, 95.0, 2, True),
        (95.0, 95.0, 4, False),
    ],
)
def test_cpu_bound(client, server, cores, bound):
    """A test is CPU-bound from 95 % of all cores on, by client and server together."""
    data = json.loads(sample("normal-1-stream.json"))
    cpu = data["end"]["cpu_utilization_percent"]
    cpu.update(host_total=client, remote_total=server)
    assert iperf3.parse(json.dumps(data)).cpu_bound(cores) is bound


@pytest.mark.parametrize("name", ["normal-1-stream.json", "normal-4-streams.json",
                                  "error-refused.json", "zero-bytes.json"])  # fmt: skip
def test_strip_leaves_no_private_fact(name):
    """Host name, addresses, cookie and time of day are gone; the figures stay."""
    values = canaries.planted()
    assert canaries.found(sample(name).encode(), values)
    kept = iperf3.strip(sample(name))
    assert canaries.found(kept.encode(), values) == []
    assert "timesecs" not in kept
    assert "\n" not in kept
    if name.startswith("normal"):
        assert iperf3.parse(kept) == iperf3.parse(sample(name))


def test_strip_drops_what_it_does_not_know():
    """A field that a later iperf3 may add is dropped, at every level."""
    data = json.loads(sample("normal-1-stream.json"))
    for part in (data, data["start"], data["start"]["test_start"], data["end"],
                 data["end"]["sum_received"], data["intervals"][0]["sum"]):  # fmt: skip
        part["surprise"] = "secret"
    assert "secret" not in iperf3.strip(json.dumps(data))


def _running():
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def test_silent_client_is_ended():
    """A client that never ends is killed, its children too, at the outer deadline."""
    start = time.monotonic()
    script = "import subprocess; subprocess.run(['sleep', '987'])"
    with pytest.raises(DeadlineExceeded):
        iperf3.run([sys.executable, "-c", script], timeout_s=0.5)
    assert time.monotonic() - start < 5
    assert left.until(lambda: "sleep 987" not in _running())


def test_busy_server_is_asked_again(tmp_path):
    """A busy server is asked again, so many times and no more."""
    count = tmp_path / "count"
    script = f"open({str(count)!r}, 'a').write('x'); print({iperf3.BUSY!r})"
    assert iperf3.BUSY in iperf3.run([sys.executable, "-c", script], timeout_s=5, tries=3)
    assert count.read_text() == "xxx"


def test_missing_program():
    """A program that is not there is named with what installs it."""
    with pytest.raises(Unavailable, match="make system"):
        iperf3.run(["no-such-iperf3"], timeout_s=1)


def test_real_run(require):
    """A real server and client agree with the parser."""
    require("iperf3")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(iperf3.server_command(port), stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            text = iperf3.run(iperf3.client_command("127.0.0.1", port, streams=2), timeout_s=10)
            if "unable to connect" not in text:
                break
            time.sleep(0.05)
        report = iperf3.parse(text)
        assert report.streams == 2
        assert 0.5 < report.duration_s < 3
        assert iperf3.parse(iperf3.strip(text)) == report
    finally:
        server.kill()
        server.wait(5)
