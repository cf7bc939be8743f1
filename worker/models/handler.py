"""ModelHandler: a handler whose function runs in model hosts, in batches."""

import asyncio
from math import inf
from typing import TYPE_CHECKING, Any

from shared.job_type import JobType, Params
from worker.context import JobContext
from worker.handler import Handler
from worker.models.batch import ModelFunction
from worker.timeouts import timeout_error

if TYPE_CHECKING:
    from worker.models.batcher import Batcher


class ModelHandler(Handler):
    """A handler whose function runs in model hosts.

    Args:
        job_type: the type of its jobs.
        function: performs a batch of jobs with the model, or one job.
        mark: the mark of the function.

    Attributes:
        batch: how the model is loaded, and how the jobs run together.
        batcher: the jobs that wait; set by the worker's `ModelHosts`.
    """

    batcher: "Batcher"

    def __init__(self, job_type: JobType[Any, Any], function: Any, mark: ModelFunction) -> None:
        super().__init__(job_type, function)
        self.batch = mark.batch
        self.timeout = inf  # the host counts a batch's time, and a failed batch runs again in parts

    async def perform(self, params: Params, context: JobContext) -> bytes:
        """Run the job in a batch; returns its result as JSON, which the host has encoded."""
        batch, item = self.batch, await self._prepare(params, context)
        cost = 1 if batch.cost_of is None else batch.cost_of(params)
        return await self.batcher.perform(item, cost, context)

    async def _prepare(self, params: Params, context: JobContext) -> Any:
        if self.batch.prepare is None:
            return params
        try:
            async with asyncio.timeout(self.job_type.timeout):
                return await self.batch.prepare(params, context)
        except TimeoutError:
            raise timeout_error(self.job_type.timeout) from None

    def encode(self, result: Any) -> bytes:
        """The result as it came from the host."""
        encoded: bytes = result
        return encoded
