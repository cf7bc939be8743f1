"""Try a handler by itself, as in a test: no server, no Redis, but real processes and real files."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from shared.files import FileStore, artifact_key, upload_key
from shared.ids import new_file_id
from shared.store.model import Claim
from worker.context import JobContext, Tools
from worker.files import AttemptFiles
from worker.processes.pool import Processes
from worker.registry import Handler


class Trial:
    """A place to run handlers in.

    Attributes:
        fractions: the progress that they have reported, in order.
        messages: what they have logged.
    """

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.fractions: list[float] = []
        self.messages: list[str] = []
        self._files = FileStore.open((folder / "files").absolute().as_uri())
        self._tools = Tools(
            processes, lambda claim: AttemptFiles(self._files, claim.job_id, claim.fencing_token, folder)
        )
        self._claim = Claim("default", "trial", 1, 1, 1, b"", b"{}", "", "1:trial")
        self._context = JobContext("trial", 1, 1)

    async def upload(self, data: bytes | Path) -> str:
        """Take in a file; returns the reference for params."""
        file_id = new_file_id()
        await self._files.put(upload_key(file_id), data)
        return file_id

    async def run(self, function: Callable[..., Any], **params: object) -> Any:
        """Perform an attempt; returns its result as a client reads it.

        Args:
            function: a handler, marked by `handles`.
            params: as a client sends them.

        Raises:
            ParamsNotKept: a field of the params would not reach the handler as it was validated.
            pydantic.ValidationError: the params, or the result, are not what the contract says.
            Exception: whatever the handler raises.
        """
        handler = Handler(function.__handles__, function)  # type: ignore[attr-defined]
        self._context = JobContext.of(self._claim, self._look, self._tools)
        try:
            given = handler.job_type.params.model_validate_json(orjson.dumps(params), strict=True)
            stored = handler.job_type.codec.encode(given).stored
            result = await handler.perform(handler.validate(stored), self._context)
            return orjson.loads(handler.encode(result))
        finally:
            self._context.release()
            if self._context.files:
                await self._context.files.close()

    def cancel(self) -> None:
        """Ask the handler to stop, as a cancellation of its job does."""
        self._context.cancel_requested = True
        self._context.end_calls()

    def artifact(self, name: str) -> bytes:
        """A file that the handler has saved. Raises FileNotFoundError."""
        path = self._files.local_path(artifact_key(self._claim.job_id, self._claim.fencing_token, name))
        assert path is not None  # noqa: S101  # the store is a folder
        return path.read_bytes()

    def close(self) -> None:
        self._files.close()

    def _look(self) -> None:
        news = self._context.news()
        self._context.arrived(news)
        if news.progress:
            fraction = orjson.loads(news.progress)["fraction"]
            if self.fractions[-1:] != [fraction]:
                self.fractions.append(fraction)
        self.messages += [orjson.loads(line.split(b" ", 2)[2])["message"] for line in news.lines.splitlines()]


@asynccontextmanager
async def trial(folder: Path) -> AsyncIterator[Trial]:
    """A place to run handlers in, for as long as the block lasts.

    Args:
        folder: where their files may lie.
    """
    processes = Processes(1, max_calls=1000, max_rss=1 << 40)
    processes.start()
    place = Trial(folder, processes)
    try:
        yield place
    finally:
        place.close()
        await processes.close()
