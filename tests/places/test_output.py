"""What a workload writes: until a line, until its end, or until the time is over."""

import os
import threading
import time

import pytest

from caveatlib.errors import DeadlineExceeded, MeasurementError
from caveatlib.places.output import await_lines, first_and_rest, text_before, text_to_end

pytestmark = pytest.mark.beside


@pytest.fixture
def pipe():
    """Return both ends of a pipe; a test may close the second."""
    ends = list(os.pipe())
    yield ends
    for end in ends:
        if end >= 0:
            os.close(end)


def close(pipe):
    """Close the end that is written to."""
    os.close(pipe[1])
    pipe[1] = -1


def test_text_before_a_line(pipe):
    """It may come in pieces, and behind something on its own line."""
    os.write(pipe[1], b"a 1\nb ")

    def later():
        time.sleep(0.05)
        os.write(pipe[1], b"2\nfirmwaredone\r\nmore\n")

    writer = threading.Thread(target=later)
    writer.start()
    assert text_before(pipe[0], "done", 5) == "a 1\nb 2\nfirmware"
    writer.join()


def test_a_first_line_s_time_and_all_the_rest(pipe):
    """What comes in the same read as the first line is not lost; without it there is no time."""
    os.write(pipe[1], b"on\n= 1")

    def later():
        time.sleep(0.05)
        wrote.append(time.monotonic())
        os.write(pipe[1], b" 2\nover\n")

    begun, wrote = time.monotonic(), []
    writer = threading.Thread(target=later)
    writer.start()
    came, text = first_and_rest(pipe[0], "on", "over", 5)
    writer.join()
    assert text == "on\n= 1 2\n"
    assert begun <= came <= wrote[0]
    os.write(pipe[1], b"over\n")
    with pytest.raises(MeasurementError, match="No 'on' before 'over'"):
        first_and_rest(pipe[0], "on", "over", 5)


def test_a_line_that_does_not_come(pipe):
    """In time, or not before the end: two errors."""
    os.write(pipe[1], b"something\n")
    with pytest.raises(DeadlineExceeded, match=r"No 'done' within 0\.05 s"):
        text_before(pipe[0], "done", 0.05)
    close(pipe)
    for read in (lambda: text_before(pipe[0], "done", 5), lambda: await_lines(pipe[0], ["a"], 5)):
        with pytest.raises(MeasurementError, match="ended before"):
            read()


def test_text_to_the_end_or_the_deadline(pipe):
    """All that came is returned either way."""
    os.write(pipe[1], b"one\n")
    begun = time.monotonic()
    assert text_to_end(pipe[0], 0.1) == "one\n"
    assert 0.1 <= time.monotonic() - begun < 30
    os.write(pipe[1], b"two\xff\n")
    close(pipe)
    assert text_to_end(pipe[0], 60) == "two\ufffd\n"
