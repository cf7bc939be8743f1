"""The models that the peers serve: a simulated device, and the embeddings of the job type `embed`."""

import time
from base64 import b64encode
from collections.abc import Sequence
from typing import Protocol

CALL_SECONDS = 0.02  # of the simulated device, for each call
ITEM_SECONDS = 0.0002  # and for each item of the call


class Model(Protocol):
    """A model that performs a batch of items; the answers have the order of the items."""

    def perform(self, items: Sequence[str]) -> list[str]: ...


class SimulatedDevice:
    """A device whose calls cost a fixed time and a little for each item, without load on a processor."""

    def perform(self, items: Sequence[str]) -> list[str]:
        time.sleep(call_seconds(len(items)))
        return [item[::-1] for item in items]


class Embedder:
    """The model of the job type `embed`; an answer is the base64 of 384 floats."""

    def __init__(self, threads: int) -> None:
        from job_types.embed.model import Model

        self._model = Model("cpu", threads)

    def perform(self, items: Sequence[str]) -> list[str]:
        return [b64encode(vector.tobytes()).decode() for vector in self._model.embed(items).vectors]


def call_seconds(items: int) -> float:
    """The time of a call of the simulated device."""
    return CALL_SECONDS + ITEM_SECONDS * items


def load_model(name: str, threads: int) -> Model:
    """The model `device` or `embedding`."""
    return SimulatedDevice() if name == "device" else Embedder(threads)
