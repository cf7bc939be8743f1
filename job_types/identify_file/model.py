"""Model that identifies the content type of a file by its first and its last bytes: magika."""

from pathlib import Path

import onnxruntime
from magika import Magika

from job_types.identify_file.contract import IdentifyFileResult
from shared.errors import RetryableError

DIGITS = 6


class Model:
    """Magika's model, loaded with a bound on its threads.

    Args:
        threads: threads to compute with.
    """

    def __init__(self, threads: int) -> None:
        self._magika = BoundedMagika(threads)

    def identify(self, path: Path) -> IdentifyFileResult:
        """Identify one file.

        The model is called for each file by itself. With others a score would differ by up to 0.0014,
        and 64 files would take a third longer.

        Raises:
            RetryableError: the file can't be read.
        """
        result = self._magika.identify_path(path)
        if not result.ok:
            raise RetryableError(f"The file can't be read: {result.status}", code="unreadable_file")
        found = result.output
        return IdentifyFileResult(
            label=str(found.label),
            mime_type=found.mime_type,
            group=found.group,
            description=found.description,
            extensions=list(found.extensions),
            is_text=found.is_text,
            score=min(round(float(result.score), DIGITS), 1.0),
        )


class BoundedMagika(Magika):
    """Magika, which by itself computes with as many threads as there are processors.

    Args:
        threads: threads to compute with.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        super().__init__()

    def _init_onnx_session(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self._threads, 1
        # Idle threads would wait for work in a loop, and take the processor from other processes.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(self._model_path, options, providers=["CPUExecutionProvider"])
