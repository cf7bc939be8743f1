"""Transport: broken connections and unreadable bodies become errors."""

import httpx
import pytest

from client import Job, JobServerError, ServerUnreachable
from client.models.jobs import JobPage
from client.transport import parse, translated

REQUEST = httpx.Request("GET", "http://jobs.test/v1/jobs/7")


@pytest.mark.parametrize(
    ("raised", "retryable"),
    [
        (httpx.ConnectError("Connection refused"), True),
        (httpx.ConnectTimeout(""), True),
        (httpx.RemoteProtocolError("Server disconnected"), True),
        (httpx.UnsupportedProtocol("no scheme"), False),
        (httpx.LocalProtocolError("Illegal header value"), False),
    ],
)
def test_a_broken_connection_is_a_connection_error(raised: httpx.RequestError, retryable: bool):
    with pytest.raises(ServerUnreachable) as caught, translated(REQUEST):
        raise raised
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value, JobServerError)
    assert caught.value.retryable == retryable
    assert str(raised) in str(caught.value)
    assert caught.value.__cause__ is raised


def test_a_timeout_is_named_by_its_class():
    with pytest.raises(ServerUnreachable) as caught, translated(REQUEST):
        raise httpx.ReadTimeout("")
    assert caught.value.message == "http://jobs.test/ does not answer (ReadTimeout)."


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"job_id": "7"}', b"null", b"\xff", b""])
def test_an_unreadable_body_is_an_error(body: bytes):
    for from_record in (Job.from_record, JobPage.from_record):
        with pytest.raises(JobServerError, match="unreadable_answer"):
            parse(body, from_record)
