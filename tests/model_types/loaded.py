"""The model of the tests' job types: files in MODEL_FOLDER steer it, and record what it did."""

import os
import time
from pathlib import Path

from worker.models.batch import Device

HOLD_SECONDS = 60.0


class LoadedModel:
    """A model whose setup and batches obey files.

    A file `fail-TYPE`, `hang-TYPE` or `eat-TYPE` spoils the setup, `hold-TYPE` holds each batch; `size-TYPE`
    has the bytes of the model. `setups-TYPE` gets a line for each setup, `batches-TYPE` one for each batch.

    Args:
        name: the job type.
        device: the host's device.
    """

    def __init__(self, name: str, device: Device) -> None:
        self._folder, self._name = Path(os.environ["MODEL_FOLDER"]), name
        visible = os.environ["CUDA_VISIBLE_DEVICES"]
        self._record("setups", f"{os.getpid()} {device.name} {device.threads} {visible} {os.nice(0)}")
        if self._has("fail"):
            raise RuntimeError("the weights are damaged")
        if self._has("hang"):
            time.sleep(HOLD_SECONDS)
        taken = []
        while self._has("eat"):
            taken.append(bytearray(64 << 20))
        size = self._folder / f"size-{name}"
        self.weights = b"w" * int(size.read_text()) if size.exists() else b""

    def note_batch(self, size: int) -> None:
        """Record a batch, and hold it while the file says so."""
        self._record("batches", f"{os.getpid()} {size}")
        while self._has("hold"):
            time.sleep(0.002)

    def _has(self, word: str) -> bool:
        return (self._folder / f"{word}-{self._name}").exists()

    def _record(self, word: str, line: str) -> None:
        with (self._folder / f"{word}-{self._name}").open("a") as file:
            file.write(f"{line}\n")
