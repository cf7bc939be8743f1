"""Commands that change many jobs: those with some ids, or all that match filters."""

from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from client.client import Client
from client.command_line.questions import Unusable, ask, require_terminal
from client.command_line.standard_streams import print_all, print_error
from client.command_line.tables import counted
from client.errors import JobServerError, ServerUnreachable
from client.filters import JobFilters
from client.models.bulk import BulkChange

Count = Callable[[], BulkChange]


def filters_of(options: Namespace) -> JobFilters:
    """Filters of the command line; those that are not given are None."""
    return JobFilters(
        state=options.state,
        type=options.type,
        queue=options.queue,
        label=dict(options.label),
        caller=options.caller,
        created_after=options.created_after,
        created_before=options.created_before,
    )


def cancel(client: Client, options: Namespace) -> None:
    filters = selected(options)
    if filters is None:
        _each(options.job_ids, lambda job_id: _cancel(client, job_id))
    elif _goes_on(options, "Cancel", "cancelled", lambda: client.cancel_jobs(dry_run=True, **filters)):
        change = client.cancel_jobs(**filters)
        print(f"{counted(change.changed, 'job')} cancelled.")
        _print_refusals(change)


def retry(client: Client, options: Namespace, filters: JobFilters | None) -> None:
    """Submit jobs again; prints the ids of the new jobs."""
    key = options.idempotency_key or str(uuid4())

    def again(job_id: str) -> str:
        return client.retry(job_id, idempotency_key=f"{key}/{job_id}").job_id

    if filters is None:
        _each(options.job_ids, again)
    elif _goes_on(options, "Retry", "retried", lambda: client.retry_jobs(dry_run=True, **filters)):
        with _repeatable(key):
            change = client.retry_jobs(idempotency_key=key, **filters)
        print_all(change.job_ids)
        print_error(f"{counted(change.changed, 'job')} retried.")
        _print_refusals(change)


@contextmanager
def _repeatable(key: str) -> Iterator[None]:
    """Tell how to go on with a retry of many jobs that ends in the middle."""
    try:
        yield
    except (JobServerError, KeyboardInterrupt) as error:
        if isinstance(error, ServerUnreachable | KeyboardInterrupt) or error.missing_shards:
            print_error(
                f"Some jobs may be retried. Repeat the command with --idempotency-key {key} to go on."
            )
        raise


def forget(client: Client, options: Namespace) -> None:
    def forgotten(job_id: str) -> str:
        client.forget(job_id)
        return f"{job_id} is forgotten."

    _each(options.job_ids, forgotten)


def _cancel(client: Client, job_id: str) -> str:
    job = client.cancel(job_id)
    return f"{job.job_id} is cancelled." if job.done else f"{job.job_id} is being cancelled."


def selected(options: Namespace) -> JobFilters | None:
    """Filters of the command line; None if jobs are named by their ids.

    Raises:
        Unusable: there are neither ids nor filters, or both.
    """
    filters = filters_of(options)
    filtered = any(filters.values())
    if options.job_ids and (filtered or options.dry_run):
        raise Unusable("Name jobs by their ids, or by filters, not both; --dry-run goes with filters.")
    if not options.job_ids and not filtered:
        raise Unusable("Name jobs by their ids, or by filters such as --state pending --label team=vision.")
    return None if options.job_ids else filters


def _goes_on(options: Namespace, verb: str, done: str, count: Count) -> bool:
    """Whether to change the jobs that match: with --yes, or after the answer to a question.

    Raises:
        Unusable: there is nobody to ask.
        Declined: the answer was no.
    """
    if options.yes and not options.dry_run:
        return True
    if not options.dry_run:
        require_terminal("Add --yes to change the jobs, or --dry-run to count them.")
    matched = count().matched
    if options.dry_run or not matched:  # jobs that come now must not be changed without a question
        print(f"{counted(matched, 'job')} would be {done}." if matched else "No job matches.")
        return False
    ask(f"{verb} {counted(matched, 'job')}?")
    return True


def _each(job_ids: Iterable[str], change: Callable[[str], str]) -> None:
    """Change one job after the other, and print a line for each; a refusal ends nothing.

    Raises:
        JobServerError: the last of the refusals; those before are printed.
    """
    refusal: JobServerError | None = None
    for job_id in job_ids:
        try:
            print(change(job_id))
        except ServerUnreachable:
            raise
        except JobServerError as error:
            if refusal:
                print_error(str(refusal))
            refusal = error
    if refusal:
        raise refusal


def _print_refusals(change: BulkChange) -> None:
    """Print the jobs that could not be changed.

    Raises:
        JobServerError: the last of them.
    """
    if not change.errors:
        return
    *before, last = [
        JobServerError(error.code, f"{error.job_id}: {error.message}", error.hint) for error in change.errors
    ]
    for error in before:
        print_error(str(error))
    raise last
