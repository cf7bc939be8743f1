"""The trace context of a caller: which headers count, and how the context is stored and passed on."""

import pytest

from shared.traces.context import NO_TRACE, TraceContext, trace_context

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


def sent(parent: str, *states: str) -> TraceContext | None:
    lines = [(b"tracestate", state.encode()) for state in states]
    return trace_context([(b"host", b"a"), (b"traceparent", parent.encode()), *lines])


def test_a_request_without_a_trace_has_none():
    assert trace_context([(b"host", b"a"), (b"tracestate", b"a=1")]) is None


def test_a_valid_context_is_kept():
    context = sent(PARENT, "vendor=a:b;c")
    assert context == TraceContext(PARENT, "vendor=a:b;c")
    assert (context.trace_id, context.span_id) == (TRACE, SPAN)
    assert context.headers == {"traceparent": PARENT, "tracestate": "vendor=a:b;c"}
    assert context.log_fields == {"trace_id": TRACE, "span_id": SPAN}


@pytest.mark.parametrize(
    ("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)]
)
def test_the_flags_say_whether_the_sender_records(flags: str, sampled: bool):
    context = sent(PARENT[:-2] + flags)
    assert context is not None
    assert context.sampled is sampled


@pytest.mark.parametrize(
    "parent",
    [
        "",
        PARENT.upper(),
        PARENT + "-more",  # version 00 has nothing more
        PARENT[:-1],
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{32 * '0'}-{SPAN}-01",
        f"00-{TRACE}-{16 * '0'}-01",
        f"01-{TRACE}-{SPAN}-01more",
        f"{PARENT}\n",
    ],
)
def test_an_invalid_traceparent_counts_as_none(parent: str):
    assert sent(parent, "a=1") is None


def test_two_traceparents_count_as_none():
    assert trace_context([(b"traceparent", PARENT.encode())] * 2) is None


@pytest.mark.parametrize("more", ["", "-more"])
def test_a_later_version_is_read_as_far_as_this_one_goes(more: str):
    assert sent(f"cc-{TRACE}-{SPAN}-01{more}") == TraceContext(PARENT)


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        (["a=1", "b=2"], "a=1,b=2"),
        ([" a=1 , ,b=2 "], "a=1 , ,b=2"),
        (["t61rcwkgmze@vendor=x"], "t61rcwkgmze@vendor=x"),
        ([",".join(f"a{n}=1" for n in range(32))], ",".join(f"a{n}=1" for n in range(32))),
        ([",".join(f"a{n}=1" for n in range(33))], ""),
        (["a=" + 511 * "x"], ""),
        (["A=1"], ""),
        (["a=1,b"], ""),
        (["a=1=2"], ""),
        (["a=\x01"], ""),
        (["a=ü"], ""),
        (["a=1\r\nx-other: 1"], ""),
        ([""], ""),
    ],
)
def test_a_tracestate_is_kept_if_it_is_valid(states: list[str], kept: str):
    assert sent(PARENT, *states) == TraceContext(PARENT, kept)


@pytest.mark.parametrize("context", [NO_TRACE, TraceContext(PARENT), TraceContext(PARENT, "a=1 , b=2")])
def test_a_stored_context_is_read_again(context: TraceContext):
    assert TraceContext.of_stored(context.stored().encode()) == context


def test_no_trace_passes_nothing_on():
    assert not NO_TRACE
    assert NO_TRACE.headers == {}
    assert not NO_TRACE.sampled
