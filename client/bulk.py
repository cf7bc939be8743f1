"""Changes of many jobs at once: request after request, each of bounded work, until all jobs are seen."""

from collections.abc import Iterable, Iterator
from typing import Any, Unpack
from uuid import uuid4

from client.filters import JobFilters, as_body
from client.models.bulk import BulkChange, BulkPage
from client.models.jobs import Job
from client.transport import Transport, parse

CANCEL = "/jobs/cancel"
MAX_IDS = 1000  # of one request


class BulkOperations:
    """Operations on many jobs: those that match some filters, or have some ids. Scope: `admin`."""

    _transport: Transport

    async def cancel_jobs(
        self, ids: Iterable[Job | str] | None = None, *, dry_run: bool = False, **filters: Unpack[JobFilters]
    ) -> BulkChange:
        """Cancel all jobs that match the filters, or those with the ids. A repeat does no harm.

        Args:
            ids: the jobs, in place of filters.
            dry_run: count the jobs, and change nothing.
            filters: filters of JobFilters, such as `state="pending"`; at least one.

        Raises:
            ValueError: there are neither ids nor filters, or both.
            JobServerError: with `missing_shards`, at once; its message has the number of jobs that the last
                request cancelled on the other shards. Call again for the rest once all shards answer.
        """
        return await _change(self._transport, CANCEL, _selections(ids, filters), dry_run)

    async def retry_jobs(
        self,
        ids: Iterable[Job | str] | None = None,
        *,
        dry_run: bool = False,
        idempotency_key: str | None = None,
        **filters: Unpack[JobFilters],
    ) -> BulkChange:
        """Submit all finished jobs that match the filters, or those with the ids, again as new jobs.

        Args:
            ids: the jobs, in place of filters.
            dry_run: count the jobs, and change nothing.
            idempotency_key: a repeat with the same key makes no second job, as after an error in the middle.
            filters: filters of JobFilters, such as `state="failed"`; at least one.

        Raises:
            ValueError: there are neither ids nor filters, or both.
        """
        selections = _selections(ids, filters)
        return await _change(self._transport, "/jobs/retry", selections, dry_run, idempotency_key)


def _selections(ids: Iterable[Job | str] | None, filters: JobFilters) -> Iterator[dict[str, Any]]:
    """Selections of jobs, one for each series of requests; none for no ids.

    Raises:
        ValueError: there are neither ids nor filters, or both. No filter would mean all jobs.
    """
    wanted = as_body(filters)
    if ids is None:
        if not wanted:
            raise ValueError('Give ids or filters; state="pending" is all jobs that wait.')
        return iter([{"filter": wanted}])
    if wanted:
        raise ValueError("Give ids or filters, not both.")
    names = [job if isinstance(job, str) else job.job_id for job in ids]
    return ({"ids": names[start : start + MAX_IDS]} for start in range(0, len(names), MAX_IDS))


async def _change(
    transport: Transport,
    path: str,
    selections: Iterator[dict[str, Any]],
    dry_run: bool,
    idempotency_key: str | None = None,
) -> BulkChange:
    """Send requests until all jobs of the selections are seen; returns the sum.

    All requests have the same Idempotency-Key. The server knows by the key, and by the id of each job, which
    jobs were retried before, however the jobs are divided into requests.
    """
    changes, key = [], idempotency_key or str(uuid4())
    counts = path == CANCEL and not dry_run  # a repeated retry counts the jobs of its key again
    for selection in selections:
        cursor = None
        while True:
            body = {**selection, "dry_run": dry_run, "cursor": cursor}
            page = parse(await transport.post(path, body, key, counts=counts), BulkPage.from_record)
            changes.append(page.change)
            cursor = page.next_cursor
            if cursor is None:
                break
    return BulkChange.total(changes)
