"""The wait that a request asks for."""

from urllib.parse import urlencode

import pytest
from starlette.requests import Request

from api.waiting import requested_wait
from shared.errors import InvalidRequest


def asking(given):
    return Request({"type": "http", "query_string": urlencode({"wait": given}).encode(), "headers": []})


@pytest.mark.parametrize(
    "given", ["0", "60", "0.0", "1e-7", "1.8486713823629498e-41", "0.123456789", "-0.0", "6E1"]
)
def test_a_wait_is_a_number(given):
    assert requested_wait(asking(given)) == float(given)


@pytest.mark.parametrize(
    "given", ["", "x", "-1", "60.1", "1e2", "nan", "inf", "1_0", " 1", "+1", "٣", ".5", "0x1"]
)
def test_a_wait_is_no_other_text(given):
    with pytest.raises(InvalidRequest):
        requested_wait(asking(given))


def test_two_waits_are_none():
    request = Request({"type": "http", "query_string": b"wait=1&wait=2", "headers": []})
    with pytest.raises(InvalidRequest, match="wait was sent more than once"):
        requested_wait(request)
