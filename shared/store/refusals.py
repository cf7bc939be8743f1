"""Error replies of Redis that pass by themselves: their codes, and the remedy for each."""

import re
from enum import Enum, auto

from redis.exceptions import AuthenticationError, BusyLoadingError, ReadOnlyError, ResponseError

# Redis before version 7 wraps an error within a script: "Error running script (…): @…: 1: -READONLY …"
WITHIN_SCRIPT = re.compile(r": -([A-Z]+)\b")


class Remedy(Enum):
    """The way to an answer after a call has failed.

    Attributes:
        NONE: the error is final.
        REPEAT: there was no reply, and the connection is closed already.
        WAIT: the same server can answer soon.
        RECONNECT: this server is not the primary any more; a new connection may reach the one that is.
    """

    NONE = auto()
    REPEAT = auto()
    WAIT = auto()
    RECONNECT = auto()


REMEDIES = {
    "READONLY": Remedy.RECONNECT,  # the primary has become a replica
    "UNBLOCKED": Remedy.RECONNECT,  # the same, in the middle of a blocking command
    "MASTERDOWN": Remedy.RECONNECT,  # a replica that has lost its primary
    "MOVED": Remedy.RECONNECT,
    "ASK": Remedy.RECONNECT,
    "CLUSTERDOWN": Remedy.RECONNECT,
    "NOAUTH": Remedy.RECONNECT,  # the password has changed: a new connection sends it
    "LOADING": Remedy.WAIT,
    "NOREPLICAS": Remedy.WAIT,
    "TRYAGAIN": Remedy.WAIT,
    "BUSY": Remedy.WAIT,  # a script or function takes long
}
BY_CLASS: dict[type[Exception], str] = {  # redis-py cuts the code off the text of these
    ReadOnlyError: "READONLY",
    BusyLoadingError: "LOADING",
    AuthenticationError: "NOAUTH",
}


def remedy_for(error: Exception) -> Remedy:
    """The remedy for one of REDIS_GONE."""
    code = code_of(error)
    return REMEDIES.get(code, Remedy.NONE) if code else Remedy.REPEAT


def code_of(error: Exception) -> str:
    """The code of an error reply; empty if there was no reply."""
    if type(error) in BY_CLASS:
        return BY_CLASS[type(error)]
    if not isinstance(error, ResponseError):
        return ""
    text = str(error)
    wrapped = WITHIN_SCRIPT.search(text)
    return wrapped[1] if wrapped else text.partition(" ")[0]
