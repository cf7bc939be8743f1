"""Handler: a job type with the function that performs its jobs."""

from asyncio import get_running_loop
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from pydantic import TypeAdapter

from shared.errors import FinalError
from shared.job_type import JobType, Params
from worker.context import BlockingContext, JobContext
from worker.finite_numbers import require_finite
from worker.processes.protocol import describe
from worker.threads import run_in_thread


class Handler:
    """A job type with the function that performs it.

    Args:
        job_type: the type of its jobs.
        function: performs a job of that type.
        logs_start: whether the start of an attempt is logged at INFO.

    Attributes:
        timeout: seconds from the start of an attempt to its timeout.
    """

    def __init__(
        self,
        job_type: JobType[Any, Any],
        function: Callable[[Any, Any], Any],
        *,
        logs_start: bool = True,
    ) -> None:
        self.job_type = job_type
        self.timeout = job_type.timeout
        self.function = function
        self.logs_start = logs_start
        self._decode: Callable[[bytes], Any] = job_type.codec.decode
        self._result = TypeAdapter(job_type.result)
        self._asynchronous = iscoroutinefunction(function)

    @property
    def function_name(self) -> str:
        """The full name of the function, for errors."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def validate(self, params: bytes) -> Params:
        """Stored params as the contract's model. Raises pydantic.ValidationError."""
        model: Params = self._decode(params)
        return model

    async def perform(self, params: Params, context: JobContext) -> Any:
        """Run the function: `async def` on the loop, `def` in a thread of its own."""
        if self._asynchronous:
            return await self.function(params, context)
        return await run_in_thread(self.function, params, BlockingContext(context, get_running_loop()))

    def encode(self, result: Any) -> bytes:
        """The result as JSON.

        Raises:
            ValueError: the result does not fit the contract, or holds NaN or infinity, which JSON lacks.
        """
        value = self._result.validate_python(result)
        body = self._result.dump_json(value)
        if b"null" in body and value is not None:  # pydantic writes null for NaN and infinity
            require_finite(self._result.dump_python(value, by_alias=True))
        return body


def unfit_result(error: Exception) -> FinalError:
    """The failure of a job whose handler returned a value that `Handler.encode` refuses."""
    failure = FinalError(
        f"The handler returned a value that does not fit the result of its job type: {describe(error)}",
        code="invalid_result",
        hint="Correct the handler, or the result of the job type.",
    )
    failure.__cause__ = error
    return failure
