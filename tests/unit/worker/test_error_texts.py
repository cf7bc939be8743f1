"""Texts of errors, as the record and the log show them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
import structlog

from shared.errors import FinalError, JobFailure, RetryableError
from shared.record import MAX_TEXT_LENGTH
from shared.store.job_leases import OutcomeKind
from tests.unit.worker.attempts import error_in, run_raising
from worker import execute as module


class Unspeakable(Exception):
    """An error that fails once more when it is asked what it is."""

    def __init__(self, answer: Callable[[], str]) -> None:
        self._answer = answer

    def __str__(self) -> str:
        return self._answer()


def raising(error: BaseException) -> Callable[[], str]:
    def answer() -> str:
        raise error

    return answer


@pytest.mark.parametrize(
    "answer",
    [raising(ValueError()), raising(RecursionError()), raising(SystemExit()), lambda: 5],
    ids=["an exception", "a deep recursion", "an exit", "no text"],
)
async def test_an_error_that_can_not_be_told_is_told_by_its_name(answer: Callable[[], str]):
    outcome = await run_raising(Unspeakable(answer))
    assert error_in(outcome)["message"] == "Unspeakable"


@contextmanager
def json_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """The lines that execute() logs, made as JSON is made in production."""
    from shared import logging

    lines: list[bytes] = []

    class Lines:
        def write(self, line: bytes) -> None:
            lines.append(line)

    monkeypatch.setattr(module, "log", structlog.wrap_logger(Lines(), processors=[logging._render]))
    yield lines


@pytest.mark.parametrize("kind", [RetryableError, ValueError, FinalError])
async def test_text_that_utf8_can_not_carry_is_written_with_question_marks(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
):
    with json_log(monkeypatch):
        outcome = await run_raising(kind("a \udcff b"))
    assert error_in(outcome)["message"].endswith("a ? b")


async def test_a_hint_that_utf8_can_not_carry_is_written_as_well():
    assert error_in(await run_raising(FinalError("no", hint="\ud800")))["hint"] == "?"


@pytest.mark.parametrize("kind", [RetryableError, ValueError])
async def test_a_long_message_is_cut(kind: type[Exception]):
    message = error_in(await run_raising(kind("é" * 100_000)))["message"]
    assert len(message) == MAX_TEXT_LENGTH
    assert message.endswith("é")


@pytest.mark.parametrize("kind", [JobFailure, RetryableError, FinalError])
@pytest.mark.parametrize(
    ("parts", "refusal"),
    [
        (
            {"message": ValueError("the cause")},
            "message must be text, not ValueError: write message='the cause'",
        ),
        ({"code": 404}, "code must be text, not int: write code='404'"),
        ({"hint": 5}, "hint must be text, not int"),
        ({"retryable": "yes"}, "retryable must be true or false, not 'yes'"),
        ({"retry_after": "1 s"}, "retry_after must be a number of seconds, not '1 s'"),
        ({"retry_after": float("nan")}, "retry_after must be a number of seconds, not nan"),
        ({"retry_after": True}, "retry_after must be a number of seconds, not True"),
    ],
)
def test_a_failure_is_made_of_what_a_record_can_show(
    kind: type[JobFailure], parts: dict[str, Any], refusal: str
):
    with pytest.raises(TypeError, match=refusal):
        kind(**{"message": "no", **parts})


async def test_a_failure_with_a_class_attribute_of_the_wrong_type_is_refused_too():
    class Numbered(FinalError):
        code = 404  # type: ignore[assignment]

    with pytest.raises(TypeError, match="code must be text"):
        Numbered("no")


@pytest.mark.parametrize(("part", "value"), [("code", object()), ("hint", 5), ("code", "\ud800")])
async def test_a_failure_that_was_spoilt_later_still_ends_the_attempt(part: str, value: object):
    failure = RetryableError("no")
    setattr(failure, part, value)
    outcome = await run_raising(failure)
    assert outcome is not None
    assert outcome.kind is OutcomeKind.RETRY
    assert all(isinstance(error_in(outcome)[part], str) for part in ("code", "message", "hint"))


async def test_an_unexpected_error_is_logged_with_its_traceback(monkeypatch: pytest.MonkeyPatch):
    with json_log(monkeypatch) as lines:
        await run_raising(ValueError("look here"))
    line = next(entry for entry in map(orjson.loads, lines) if entry["level"] == "error")
    assert line["event"] == "the handler raised an unexpected error"
    assert "Traceback" in line["exception"]
    assert "ValueError: look here" in line["exception"]
