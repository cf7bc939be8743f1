"""Errors of a function as its child process sends them: pickles that the worker can load."""

import pickle
import traceback
from contextlib import suppress

from worker.processes.plain_pickles import Packages, load_plain
from worker.processes.protocol import LARGEST_ERROR, cut, describe

MEMORY_HINT = "Submit less work per job, or raise WORKER_PROCESS_MAX_MEMORY_BYTES."


def pickled_error(error: BaseException, packages: Packages) -> bytes:
    """The pickle of an error with its traceback as a note, or of a substitute if it can't be sent."""
    if isinstance(error, MemoryError):
        error = out_of_memory(error)
    note = cut("".join(traceback.format_exception(error)))
    with suppress(Exception):
        sent = sendable(error, packages)
        sent.add_note(note)
        body = pickle.dumps(sent)
        if len(body) <= LARGEST_ERROR:
            return body
    return pickle.dumps(substitute(error))


def out_of_memory(error: MemoryError) -> Exception:
    from shared.errors import RetryableError

    failure = RetryableError(
        "The job's function got no more memory.", code="process_memory", hint=MEMORY_HINT
    )
    failure.__cause__ = error
    return failure


def sendable(error: BaseException, packages: Packages) -> Exception:
    """The error, or a substitute with the same text if the worker would not load it."""
    if isinstance(error, Exception):  # SystemExit and KeyboardInterrupt must not be raised in the worker
        with suppress(Exception):
            load_plain(pickle.dumps(error), packages)
            return error
    if isinstance(error, BaseExceptionGroup):
        return ExceptionGroup(error.message, [sendable(inner, packages) for inner in error.exceptions])
    return substitute(error)


def substitute(error: BaseException) -> Exception:
    """A failure with the text of this error, and sure to be picklable."""
    from shared.errors import JobFailure, RetryableError

    if isinstance(error, JobFailure):
        code, hint, retryable = str(error.code), str(error.hint), bool(error.retryable)
        return JobFailure(cut(str(error)), code=code, hint=cut(hint), retryable=retryable)
    return RetryableError(describe(error))
