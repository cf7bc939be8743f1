"""Callers with API keys, for tests of access."""

from hashlib import sha256

from api.error_envelope import ErrorEnvelope

ECHO = {"type": "echo", "params": {"message": "hi"}}


def entry(name: str, scopes: str = "read+write", rate: int | None = None) -> str:
    """The entry of the key `key-of-NAME`."""
    end = "" if rate is None else f":{rate}"
    return f"{name}:{scopes}:{sha256(f'key-of-{name}'.encode()).hexdigest()}{end}"


def as_caller(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer key-of-{name}"}


def refused(answer, status: int, code: str) -> ErrorEnvelope:
    envelope = ErrorEnvelope.model_validate(answer.json())
    assert (answer.status_code, envelope.code) == (status, code)
    assert envelope.request_id == answer.headers["x-request-id"]
    assert envelope.hint
    return envelope


KEYS = ",".join(
    [
        entry("ann"),
        entry("reader", "read"),
        entry("writer", "write"),
        entry("own-reader", "read:own"),
        entry("own-writer", "write:own"),
        entry("last"),
    ]
)
