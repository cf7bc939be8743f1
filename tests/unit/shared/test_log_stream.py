"""The stream of log lines, on descriptors that are full, stalled or gone."""

import fcntl
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from shared import log_stream
from shared.log_stream import LogStream

F_SETPIPE_SZ = 1031
PIPE_BYTES = 4 * 4096
READER_SECONDS = 20


def notice(count: int) -> bytes:
    return b"dropped %d\n" % count


class Pipe:
    """A small pipe."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, F_SETPIPE_SZ, PIPE_BYTES)

    def read(self) -> bytes:
        """Bytes in the pipe."""
        os.set_blocking(self.reader, False)
        try:
            return os.read(self.reader, 1 << 20)
        except BlockingIOError:
            return b""

    def close_reader(self) -> None:
        os.close(self.reader)
        self.reader = -1

    def close(self) -> None:
        os.close(self.writer)
        if self.reader >= 0:
            os.close(self.reader)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture(params=["reopened", "polled"])
def stream(request: pytest.FixtureRequest, pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> LogStream:
    """A stream to the pipe that waits 0.1 s at most."""
    monkeypatch.setattr(log_stream, "WAIT_SECONDS", 0.1)
    if request.param == "polled":  # as for a process that may not open its standard output again
        monkeypatch.setattr(log_stream, "_reopened", lambda descriptor: None)
    return LogStream(pipe.writer, notice)


def test_lines_go_to_a_pipe_that_is_read(stream: LogStream, pipe: Pipe):
    for number in range(3):
        stream.write(b"line %d\n" % number)
    assert pipe.read() == b"line 0\nline 1\nline 2\n"


def test_lines_for_a_full_pipe_are_dropped_after_one_wait_and_counted(stream: LogStream, pipe: Pipe):
    stream.write(b"x" * (PIPE_BYTES - 1) + b"\n")
    begin = time.monotonic()
    for _ in range(1000):
        stream.write(b"y" * 100 + b"\n")
    assert 0.1 <= time.monotonic() - begin < 5
    assert pipe.read() == b"x" * (PIPE_BYTES - 1) + b"\n"
    stream.write(b"again\n")
    stream.write(b"and again\n")
    assert pipe.read() == b"dropped 1000\nagain\nand again\n"


def test_the_rest_of_a_line_that_was_written_in_part_goes_first(stream: LogStream, pipe: Pipe):
    long = b"x" * (PIPE_BYTES + 1000) + b"\n"
    stream.write(long)
    stream.write(b"dropped\n")
    got = pipe.read()
    stream.write(b"again\n")
    assert got + pipe.read() == long + b"dropped 1\nagain\n"


def test_a_pipe_that_is_read_slowly_gets_every_line_within_the_patience(
    stream: LogStream, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(log_stream, "WAIT_SECONDS", READER_SECONDS / 2)
    stream._patience = READER_SECONDS / 2
    reader = os.fork()
    if reader == 0:  # a reader that is late, but not too late
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(READER_SECONDS)  # a line that is dropped must not let it wait for ever
        time.sleep(0.03)
        os.set_blocking(pipe.reader, True)
        left = 2 * PIPE_BYTES
        while left > 0:
            left -= len(os.read(pipe.reader, 1024))
        os._exit(0)
    for _ in range(2):
        stream.write(b"x" * (PIPE_BYTES - 1) + b"\n")
    assert os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1]) == 0
    stream.write(b"next\n")
    assert pipe.read() == b"next\n"


def test_lines_for_a_pipe_without_a_reader_are_dropped(stream: LogStream, pipe: Pipe):
    pipe.close_reader()
    begin = time.monotonic()
    for _ in range(1000):
        stream.write(b"nobody reads this\n")
    assert time.monotonic() - begin < 5


def test_a_stream_may_begin_on_a_pipe_without_a_reader(pipe: Pipe):
    pipe.close_reader()
    LogStream(pipe.writer, notice).write(b"nobody reads this\n")


def test_the_descriptor_stays_blocking_for_the_processes_that_share_it(stream: LogStream, pipe: Pipe):
    stream.write(b"a line\n")
    assert os.get_blocking(pipe.writer)


def test_a_descriptor_that_does_not_block_is_waited_for_as_well(stream: LogStream, pipe: Pipe):
    os.set_blocking(pipe.writer, False)
    stream.write(b"x" * (PIPE_BYTES + 1000) + b"\n")
    assert len(pipe.read()) == PIPE_BYTES
    stream.write(b"again\n")
    assert pipe.read().endswith(b"x\nagain\n")


def test_lines_for_a_full_socket_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log_stream, "WAIT_SECONDS", 0.1)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = LogStream(ours.fileno(), notice)
        for _ in range(1000):
            stream.write(b"x" * 9999 + b"\n")
        got = received(theirs)
        stream.write(b"again\n")
        got += received(theirs)
        *lines, last = got.splitlines()
        assert lines.pop() == b"dropped %d" % (1000 - len(lines))
        assert last == b"again"
        theirs.close()
        stream.write(b"nobody reads this\n")


def received(connection: socket.socket) -> bytes:
    """Bytes that have arrived."""
    connection.setblocking(False)
    got = b""
    with suppress(BlockingIOError):
        while data := connection.recv(1 << 20):
            got += data
    return got


def test_lines_for_a_full_disk_are_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with (tmp_path / "log").open("ab") as file:
        stream = LogStream(file.fileno(), notice)
        room = iter([4, None, None])

        def write(data: bytes) -> int:
            if (size := next(room, 1 << 20)) is None:
                raise OSError(28, "No space left on device")
            return os.write(file.fileno(), data[:size])

        monkeypatch.setattr(stream, "_send", write)
        for line in (b"in part\n", b"dropped\n", b"again\n", b"and again\n"):
            stream.write(line)
    assert (tmp_path / "log").read_bytes() == b"in part\ndropped 1\nagain\nand again\n"


def test_a_closed_descriptor_takes_no_lines():
    LogStream(None, notice).write(b"a line\n")


def test_a_device_that_is_full_takes_no_lines():
    with Path("/dev/full").open("wb", buffering=0) as full:
        LogStream(full.fileno(), notice).write(b"a line\n")


def test_a_finalizer_that_logs_while_a_line_is_written_does_not_hang(stream: LogStream, pipe: Pipe):
    send = stream._send

    def write(data: bytes) -> int:
        stream._send = send
        stream.write(b"from a finalizer\n")
        return send(data)

    stream._send = write
    stream.write(b"a line\n")
    assert pipe.read() == b"from a finalizer\na line\n"
