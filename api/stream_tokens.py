"""Stream tokens: by its token a browser's EventSource, which sends no key, follows one job."""

import hmac
import json
import re
import time
from base64 import urlsafe_b64encode
from hashlib import sha256
from urllib.parse import parse_qs

from starlette.types import Scope

from api.errors import Unauthorized
from shared.store.stream_secret import StreamSecret

TOKEN_SECONDS = 600
EVENTS_PATH = re.compile(r"(?:/v1)?/jobs/([^/]+)/events")


class StreamTokens:
    """Issue and check of tokens: `expiry.signature.caller`, signed for one job. No token is stored.

    Args:
        secret: the key of the signature.
    """

    def __init__(self, secret: StreamSecret) -> None:
        self._secret = secret

    async def issue(self, job_id: str, caller: str | None) -> tuple[str, int]:
        """A new token and the second at which it expires.

        Raises:
            QueueUnavailable: Redis can't be reached.
        """
        expiry = int(time.time()) + TOKEN_SECONDS
        signature = _sign(await self._secret.read(), job_id, expiry, caller or "")
        return ".".join(filter(None, [str(expiry), signature, caller])), expiry

    async def caller_of(self, scope: Scope) -> str | None:
        """The caller to whom the request's token was issued; None without a token.

        Raises:
            Unauthorized: the token has expired, or this server did not issue it for this job.
            QueueUnavailable: Redis can't be reached.
        """
        found = EVENTS_PATH.fullmatch(scope["path"]) if scope["method"] == "GET" else None
        tokens = parse_qs(scope["query_string"].decode("latin-1")).get("token") if found else None
        if not found or not tokens:
            return None
        token: str = tokens[0]
        expiry, _, rest = token.partition(".")
        signature, _, caller = rest.partition(".")
        if not re.fullmatch("[0-9]{1,12}", expiry) or int(expiry) < time.time():
            raise _refused()
        expected = _sign(await self._secret.read(), found[1], int(expiry), caller)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise _refused()
        return caller


def _sign(secret: bytes, job_id: str, expiry: int, caller: str) -> str:
    """Sign the parts of a token, as JSON, so that no part can be taken for another one."""
    message = json.dumps([expiry, job_id, caller]).encode()
    return urlsafe_b64encode(hmac.digest(secret, message, sha256)).decode().rstrip("=")


def _refused() -> Unauthorized:
    return Unauthorized(
        "The stream token has expired, or it is not for this job.",
        hint="Get another one with POST /jobs/{job_id}/stream-token.",
    )
