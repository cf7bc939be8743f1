"""KeySet: the keys of this process, looked up by digest, and replaced as a whole on SIGHUP."""

import asyncio
import time
from collections.abc import Sequence
from hashlib import sha256

from api.errors import Unauthorized
from api.keys.api_key import ApiKey
from api.keys.keys_file import read_keys_file, require_distinct
from shared.logging import get_log

EXPIRED = "Use a newer key; the operator makes one, or sets a later end for this one."

log = get_log(__name__)


class KeySet:
    """The keys of `API_KEYS` and of the keys file.

    Args:
        listed: the keys of `API_KEYS`.
        path: the keys file; empty for none.

    Raises:
        ValueError: the keys file is wrong.
    """

    def __init__(self, listed: Sequence[ApiKey], path: str = "") -> None:
        self._listed = listed
        self._path = path
        self._wanted = asyncio.Event()
        self._by_digest = self._read()

    def identify(self, given: bytes) -> ApiKey:
        """The caller with this key.

        Raises:
            Unauthorized: no caller has the key, or the key has expired.
        """
        # One round of SHA-256 is enough: a key is 256 random bits, which nobody can guess however fast.
        # The time of the look-up depends on the digest. That is safe: nobody can choose the digest of a key
        # without the key, so the time reveals nothing that leads to a key.
        found = self._by_digest.get(sha256(given).digest())
        if found is None:
            raise Unauthorized("The API key is not one of this server's.")
        key, expires_at = found
        if time.time() >= expires_at:
            raise Unauthorized("The API key has expired.", hint=EXPIRED)
        return key

    def named(self, name: str) -> ApiKey | None:
        """The caller of that name, unless all of its keys have expired."""
        now = time.time()
        for key, expires_at in self._by_digest.values():
            if key.name == name and now < expires_at:
                return key
        return None

    def reload(self) -> None:
        """Tell `keep_loaded` to read the keys file again."""
        self._wanted.set()

    async def keep_loaded(self) -> None:
        """Read the keys file again after each `reload`; a wrong file leaves the keys as they are."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                self._by_digest = await asyncio.to_thread(self._read)
            except ValueError as error:
                log.error(
                    "the keys file is wrong, the keys stay as they were",
                    reason=str(error),
                    hint="Correct the file that API_KEYS_FILE names, and send SIGHUP again.",
                )
            else:
                log.info("keys reloaded", keys=len(self._by_digest))

    def _read(self) -> dict[bytes, tuple[ApiKey, float]]:
        """Caller and end of each key, by the key's digest."""
        keys = [*self._listed, *(read_keys_file(self._path) if self._path else [])]
        require_distinct(keys)
        return {
            bytes.fromhex(digest.sha256.get_secret_value()): (key, digest.expires_at)
            for key in keys
            for digest in key.digests
        }
