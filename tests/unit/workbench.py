"""A job as a worker gives it to a handler, with no worker: functions run here, artifacts stay in memory."""

import asyncio
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from shared.contract import Params
from shared.contracts import load_contracts
from shared.store.model import Claim
from worker.context import JobContext, Tools
from worker.registry import by_type, load_handlers

FILE = f"file_{0:032x}"
CLAIM = Claim("default", "a-job", 7, 2, 5, b"", b"{}", "a-request", "7:a-job")


class Workbench:
    """Performs a job type, and keeps what its handler does.

    Attributes:
        uploaded: the file that FILE refers to.
        artifacts: content type and data by name.
        reports: every fraction and message reported, whether here or in a process.
        calls: functions that were to run in a process.
        most_at_once: how many of them at once.
    """

    def __init__(self, uploaded: Path) -> None:
        self.uploaded = uploaded
        self.artifacts: dict[str, tuple[str, bytes]] = {}
        self.reports: list[tuple[float, str]] = []
        self.calls: list[str] = []
        self.most_at_once = self._running = 0

    async def perform(self, name: str, **params: Any) -> Any:
        """The handler's result as JSON has it."""
        handler = by_type(load_handlers(), load_contracts(), ["default"])[name]
        context = JobContext.of(CLAIM, lambda: None, Tools(self, lambda claim: self))  # type: ignore[arg-type]
        context._announce = lambda: self._hear(context)
        result = await handler.perform(self.validated(name, params), context)
        return orjson.loads(handler.encode(result))

    def validated(self, name: str, params: dict[str, Any]) -> Params:
        return load_contracts()[name].params.model_validate(params)

    def _hear(self, context: JobContext) -> None:
        if context.unsent:
            report = orjson.loads(context.latest)
            self.reports.append((report["fraction"], report["message"]))

    # -- as the pool of processes

    async def run(self, function: Callable[..., Any], *arguments: Any, on_message: Any) -> Any:
        self.calls.append(function.__name__)
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        request = pickle.dumps((function, arguments))
        try:
            return pickle.loads(await asyncio.to_thread(run_pickled, request))
        finally:
            self._running -= 1

    # -- as the attempt's files

    async def save(self, name: str, data: bytes | Path, content_type: str) -> None:
        assert isinstance(data, bytes)
        self.artifacts[name] = (content_type, data)

    async def open_input(self, reference: str) -> Path:
        assert reference == FILE
        return self.uploaded


def run_pickled(request: bytes) -> bytes:
    function, arguments = pickle.loads(request)
    return pickle.dumps(function(*arguments))
