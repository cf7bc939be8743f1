"""Cursors of lists of jobs, as clients get and return them."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

import orjson

from shared.errors import InvalidRequest
from shared.record import JobState
from shared.store.job_list import Cursor

SCORE = re.compile(r"[0-9]{1,16}")  # milliseconds since the epoch


def encode_cursor(place: Cursor, state: JobState | None) -> str:
    """The cursor of a place in the list of a state, or of all jobs."""
    return urlsafe_b64encode(orjson.dumps([state or "", *place])).decode().rstrip("=")


def decode_cursor(cursor: str, state: JobState | None) -> Cursor:
    """The place in the list of a state. Raises InvalidRequest for another cursor."""
    of_state, place = read_cursor(cursor)
    if of_state != (state or ""):
        raise wrong_cursor()
    return place


def read_cursor(cursor: str) -> tuple[str, Cursor]:
    """The state and the place that a cursor encodes. Raises InvalidRequest for a malformed one."""
    try:
        words = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        words = None
    match words:
        case [str(of_state), str(score), str(last)] if SCORE.fullmatch(score):
            return of_state, (score, last)
    raise wrong_cursor()


def wrong_cursor() -> InvalidRequest:
    message = "The cursor is not one that this list gave."
    fault = {"path": "cursor", "message": message, "kind": "invalid_cursor"}
    return InvalidRequest(message, hint="Leave the cursor out to begin at the newest job.", details=[fault])
