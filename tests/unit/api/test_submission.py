"""Submissions, valid and invalid: the server and its document agree, case by case."""

import orjson
import pytest
from jsonschema import Draft202012Validator

from api.main import create_app
from api.settings import ApiSettings
from api.strict_json import parse
from api.submission import Submissions
from shared.errors import InvalidRequest
from shared.job_type_loader import load_job_types

PLAIN = {"type": "word_count", "params": {"text": "to be"}}
NAP = {"type": "sleep", "params": {"seconds": 1}}
ALLOWED = {
    "nothing optional": PLAIN,
    "labels": {**PLAIN, "labels": {"team": "a", "x/y.z-1": ""}},
    "null times": {**PLAIN, "run_at": None, "delay_seconds": None, "start_within_seconds": None},
    "a null time and another": {**PLAIN, "run_at": None, "delay_seconds": 1.5},
    "run_at": {**PLAIN, "run_at": "2026-01-01T12:00:00Z"},
    "run_at elsewhere": {**PLAIN, "run_at": "2026-01-01t12:00:00.25+05:45"},
    "delay_seconds": {**PLAIN, "delay_seconds": 0},
    "a whole number": {"type": "word_count", "params": {"text": "", "top": 3.0}},
    "an integer for a number": NAP,
    "no webhook": {**PLAIN, "webhook": None},
    "a webhook": {**PLAIN, "webhook": {"url": "https://example.com:8443/hook;a?b=c&d=%20"}},
    "a webhook at an address": {**PLAIN, "webhook": {"url": "http://[2606:4700::1111]/"}},
    "any message": {"type": "echo", "params": {"message": [None, {"a": 1.5}, "b", True]}},
}
FORBIDDEN = {
    "a list": [PLAIN],
    "no type": {"params": {}},
    "another type": {**PLAIN, "type": "ehco"},
    "an unknown field": {**PLAIN, "priority": 1},
    "an unknown param": {"type": "echo", "params": {"message": 1, "loud": True}},
    "no param": {"type": "echo", "params": {}},
    "a number in quotes": {"type": "sleep", "params": {"seconds": "1"}},
    "a boolean for a number": {"type": "sleep", "params": {"seconds": True}},
    "a number for a boolean": {"type": "flaky", "params": {"final": 1}},
    "half of an integer": {"type": "word_count", "params": {"text": "", "top": 2.5}},
    "too large": {"type": "sleep", "params": {"seconds": 3601}},
    "two times": {**PLAIN, "run_at": "2026-01-01T12:00:00Z", "delay_seconds": 1},
    "a negative delay": {**PLAIN, "delay_seconds": -1},
    "no time to start": {**PLAIN, "start_within_seconds": 0},
    "a label without a name": {**PLAIN, "labels": {"": "x"}},
    "a label that is no text": {**PLAIN, "labels": {"team": 1}},
    "a long label": {**PLAIN, "labels": {"team": "x" * 129}},
    "many labels": {**PLAIN, "labels": {f"n{n}": "" for n in range(17)}},
    "null labels": {**PLAIN, "labels": None},
    "a time that is a number": {**PLAIN, "run_at": 1767268800},
    "a time that is a number in quotes": {**PLAIN, "run_at": "1767268800"},
    "a time without a zone": {**PLAIN, "run_at": "2026-01-01T12:00:00"},
    "a day": {**PLAIN, "run_at": "2026-01-01"},
    "a time without seconds": {**PLAIN, "run_at": "2026-01-01T12:00Z"},
    "a webhook without an address": {**PLAIN, "webhook": {}},
    "an address for a webhook": {**PLAIN, "webhook": "https://example.com/"},
    "a webhook with more": {**PLAIN, "webhook": {"url": "https://example.com/", "secret": "x"}},
    "a webhook for a user": {**PLAIN, "webhook": {"url": "https://me@example.com/"}},
    "a webhook with a fragment": {**PLAIN, "webhook": {"url": "https://example.com/#a"}},
    "a webhook by another way": {**PLAIN, "webhook": {"url": "ftp://example.com/"}},
    "a webhook in octal": {**PLAIN, "webhook": {"url": "http://0177.1/"}},
    "a webhook at a number": {**PLAIN, "webhook": {"url": "http://2130706433/"}},
    "a long webhook": {**PLAIN, "webhook": {"url": "https://example.com/" + "a" * 1981}},
    "a thirteenth month": {**PLAIN, "run_at": "2026-13-01T12:00:00Z"},
}


@pytest.fixture(scope="module")
def submissions():
    return Submissions(load_job_types(), webhooks=True)


@pytest.fixture(scope="module")
def described():
    """The validator that the document's schema of a submission gives."""
    document = create_app(ApiSettings()).openapi()
    schema = {"$ref": "#/components/schemas/JobSubmission", "components": document["components"]}
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


@pytest.mark.parametrize("body", ALLOWED.values(), ids=ALLOWED)
def test_what_the_document_allows_is_accepted(submissions, described, body):
    assert described.is_valid(body)
    assert submissions.validate(parse(orjson.dumps(body))).type == body["type"]


@pytest.mark.parametrize("body", FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_the_document_forbids_is_refused(submissions, described, body):
    assert not described.is_valid(body)
    with pytest.raises(InvalidRequest):
        submissions.validate(parse(orjson.dumps(body)))


@pytest.mark.parametrize("time", ["2999-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"])
def test_a_time_far_ahead_is_refused_though_no_schema_says_so(submissions, described, time):
    body = {**PLAIN, "run_at": time}
    assert described.is_valid(body)
    with pytest.raises(InvalidRequest, match="does not fit"):
        submissions.validate(body)


@pytest.mark.parametrize("url", ["http://example.com:25/", "https://8.8.8.8:1024/"])
def test_a_webhook_to_a_port_of_the_system_is_refused_with_what_to_do(url):
    submissions = Submissions(load_job_types(), webhooks=True, ports=[26])
    with pytest.raises(InvalidRequest) as caught:
        submissions.require_webhook_allowed(url)
    assert "port" in caught.value.hint
    assert caught.value.details[0]["kind"] == "webhook_blocked"
    for allowed in (
        "http://example.com:26/",
        "http://example.com",
        "https://example.com:443/",
        "http://example.com:1025",
    ):
        submissions.require_webhook_allowed(allowed)
