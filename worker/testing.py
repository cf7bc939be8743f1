"""Harness for tests of handlers: no server and no Redis, but real processes and real files."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from shared.files import FileStore, artifact_key, upload_key
from shared.ids import new_file_id
from shared.job_type_loader import OWN_PACKAGES
from shared.store.job_leases import Claim
from worker.context import JobContext, Tools
from worker.files import AttemptFiles
from worker.models.batch import Device
from worker.models.batcher import Answer, Batcher
from worker.models.handler import ModelHandler
from worker.models.host_calls import LoadedModel
from worker.processes.plain_pickles import packages_of
from worker.processes.pool import Processes
from worker.processes.protocol import CallReport, unpack
from worker.registry import handler_of

WORKER_ID = "harness"


class Harness:
    """Harness that performs one attempt of a handler after another.

    Args:
        folder: where the files of the attempts are kept.
        processes: the pool for `in_process`.

    Attributes:
        fractions: the progress that the handlers have reported, in order.
        messages: the messages that they have logged, in order.
        output: the chunks that they have emitted, in order.
    """

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.fractions: list[float] = []
        self.messages: list[str] = []
        self.output: list[object] = []
        self._files = FileStore.open((folder / "files").absolute().as_uri())
        self._tools = Tools(
            processes,
            lambda claim: AttemptFiles(self._files, claim.job_id, claim.fencing_token, WORKER_ID, folder),
        )
        self._claim = Claim("default", "harness", 1, 1, 1, b"", b"{}", "", "1:harness")
        self._context = JobContext("harness", 1, 1)
        self._batchers: dict[str, Batcher] = {}

    async def upload(self, data: bytes | Path) -> str:
        """Store a file as an upload does; returns its reference for params."""
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
            pydantic.ValidationError: the params or the result do not fit the contract.
            Exception: any error of the handler.
        """
        handler = handler_of(function)
        if isinstance(handler, ModelHandler):
            handler.batcher = self._batcher_of(handler)
        self._context = JobContext.of(self._claim, self._record, self._tools)
        try:
            given = handler.job_type.params.model_validate_json(orjson.dumps(params), strict=True)
            stored = handler.job_type.codec.encode(given).stored
            result = await handler.perform(handler.validate(stored), self._context)
            return orjson.loads(handler.encode(result))
        finally:
            self._context.close()
            if self._context.files:
                await self._context.files.close()

    def cancel(self) -> None:
        """Ask the handler to stop, as a cancellation of its job does."""
        self._context.cancel_requested = True
        self._context.cancel_calls()

    def artifact(self, name: str) -> bytes:
        """The bytes of an artifact that the handler has saved. Raises FileNotFoundError."""
        path = self._files.local_path(
            artifact_key(self._claim.job_id, self._claim.fencing_token, WORKER_ID, name)
        )
        assert path is not None  # noqa: S101  # the store is a folder
        return path.read_bytes()

    def close(self) -> None:
        """Close the file store."""
        self._files.close()

    def _batcher_of(self, handler: ModelHandler) -> Batcher:
        """The batcher of a model, which is loaded into this process at its first use."""
        if handler.function_name not in self._batchers:
            host = LocalHost(handler)
            self._batchers[handler.function_name] = Batcher(handler.batch, [host])
        return self._batchers[handler.function_name]

    def _record(self) -> None:
        news = self._context.pending_report()
        self._context.acknowledge(news)
        if news.progress:
            fraction = orjson.loads(news.progress)["fraction"]
            if self.fractions[-1:] != [fraction]:
                self.fractions.append(fraction)
        self.output += [orjson.loads(chunk.split(b" ", 1)[1]) for chunk in news.output.splitlines()]
        self.messages += [orjson.loads(line.split(b" ", 2)[2])["message"] for line in news.lines.splitlines()]


class LocalHost:
    """A model host within this process.

    Args:
        handler: the handler with the model, which is loaded now.
    """

    ready = True
    failed = False

    def __init__(self, handler: ModelHandler) -> None:
        self._packages = packages_of(handler.function, OWN_PACKAGES)
        self._loaded = LoadedModel(handler.function, Device("cpu", 1), self._packages)

    async def run(
        self,
        items: Sequence[Any],
        on_report: Callable[[CallReport], None],
        traces: Sequence[dict[str, str]] | None = None,
    ) -> list[Answer]:
        answers = self._loaded.perform(items)
        return [body if fine else unpack(body, self._packages) for fine, body in answers]


@asynccontextmanager
async def open_harness(folder: Path) -> AsyncIterator[Harness]:
    """A harness with one child process, open within the block.

    Args:
        folder: where the files of the attempts are kept; pytest's `tmp_path` will do.
    """
    processes = Processes(1, max_calls=1000, max_rss=1 << 40)
    processes.start()
    harness = Harness(folder, processes)
    try:
        yield harness
    finally:
        harness.close()
        await processes.close()
