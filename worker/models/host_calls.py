"""Calls in the process of a model host: the setup, then one call for each batch."""

from collections.abc import Callable, Sequence
from typing import Any

from worker.handler import Handler, unfit_result
from worker.models.batch import Device, ModelFunction
from worker.processes.errors import pickled_error
from worker.processes.plain_pickles import Packages

Answer = tuple[bool, bytes]
"""Whether the job has a result, and the result as JSON or a pickle of its error."""


class LoadedModel:
    """A model with the function that performs jobs with it.

    Args:
        function: marked by `handles`.
        device: the host's device.
        packages: the packages whose errors the worker loads.
    """

    def __init__(self, function: Callable[..., Any], device: Device, packages: Packages) -> None:
        mark: ModelFunction = function.__model__  # type: ignore[attr-defined]
        self._function = function
        self._single = mark.single
        self._handler = Handler(function.__handles__, function)  # type: ignore[attr-defined]
        self._packages = packages
        self._model = mark.batch.setup(device)

    def perform(self, items: Sequence[Any]) -> list[Answer]:
        """Perform a batch. Raises whatever the function raises."""
        if self._single:
            return [self._answer(self._function(self._model, item)) for item in items]
        return [self._answer(result) for result in self._function(self._model, list(items))]

    def _answer(self, result: Any) -> Answer:
        if isinstance(result, Exception):
            return False, pickled_error(result, self._packages)
        try:
            return True, self._handler.encode(result)
        except Exception as error:
            return False, pickled_error(unfit_result(error), self._packages)


loaded: LoadedModel
"""The model of this process, once `set_up` has returned."""


def set_up(function: Callable[..., Any], device: Device, packages: Packages) -> None:
    """Load the model of this process. Raises whatever its setup raises."""
    global loaded
    loaded = LoadedModel(function, device, packages)


def perform(items: Sequence[Any]) -> list[Answer]:
    """Perform a batch with the model of this process."""
    return loaded.perform(items)
