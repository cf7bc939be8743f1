"""OutputBuffer: every chunk until Redis has it, within bounds."""

import pytest

from shared.errors import FinalError
from worker.context import JobContext
from worker.output_buffer import CHUNK_OVERHEAD, LARGEST_REPORT, MAX_CHUNK_BYTES, OutputBuffer


def test_chunks_are_numbered_until_they_are_acknowledged():
    output = OutputBuffer(1000)
    output.add("a")
    output.add({"b": [1]})
    assert output.numbered(whole=False) == (b'1 "a"\n2 {"b":[1]}', 2)
    output.acknowledge(1)
    output.add("c")
    assert output.numbered(whole=False) == (b'2 {"b":[1]}\n3 "c"', 3)
    output.acknowledge(3)
    assert not output.waiting
    assert output.numbered(whole=True) == (b"", 3)


def test_a_report_carries_a_part_of_much_output_and_the_end_all_of_it():
    output = OutputBuffer(1 << 30)
    for _ in range(10):
        output.add("x" * (LARGEST_REPORT // 4 - 2))
    _, last = output.numbered(whole=False)
    assert last == 4
    assert output.numbered(whole=True)[1] == 10


def test_too_much_output_fails_the_job():
    output = OutputBuffer(2 * (3 + CHUNK_OVERHEAD))
    output.add("a")
    output.add("b")
    with pytest.raises(FinalError, match="more than") as caught:
        output.add("c")
    assert caught.value.code == "output_too_large"


@pytest.mark.parametrize(
    ("chunk", "code"), [({1: object()}, "invalid_output"), ("x" * MAX_CHUNK_BYTES, "output_too_large")]
)
def test_a_chunk_that_can_not_be_sent_fails_the_job(chunk: object, code: str):
    with pytest.raises(FinalError) as caught:
        OutputBuffer(1 << 30).add(chunk)
    assert caught.value.code == code


def test_a_context_reports_its_output_until_it_is_acknowledged():
    told: list[None] = []
    context = JobContext("id", 1, 1, _on_report=lambda: told.append(None))
    context.emit("a")
    report = context.pending_report()
    context.emit("b")
    context.acknowledge(report)
    assert (context.unsent, context.pending_report().output) == (True, b'2 "b"')
    context.acknowledge(context.pending_report())
    assert not context.unsent
    assert len(told) >= 2
