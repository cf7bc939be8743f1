"""RecordReader: reads large records, and several records at once."""

from collections.abc import Sequence

from shared.record import SUMMARY
from shared.store import redis_keys, scripts
from shared.store.job_list import LARGEST_PAGE_BYTES
from shared.store.missing_jobs import expired, key_expired
from shared.store.redis_calls import RedisCalls, as_dict
from shared.store.submission import Submitted
from shared.stored_record import StoredRecord

RECORDS_AT_ONCE = 200


class RecordReader:
    """Reads records over the connection for large replies.

    Args:
        redis: that connection.
    """

    def __init__(self, redis: RedisCalls) -> None:
        self._redis = redis

    async def whole(self, job_id: str) -> StoredRecord:
        """A record that is too large for the shared connection. Raises JobExpired."""
        fields = await self._redis.hash(redis_keys.RECORD + job_id)
        if not fields:
            raise expired(job_id)
        return StoredRecord(job_id, fields)

    async def completed(self, submitted: list[Submitted]) -> list[Submitted]:
        """The same jobs, with the records that `submit` left out.

        One such record is whole; several are as far as they do not exceed LARGEST_PAGE_BYTES, else without
        their payload.
        """
        left_out = [job.record.job_id for job in submitted if not job.record.fields]
        if not left_out:
            return submitted
        if len(submitted) == 1:
            return [Submitted(await self.whole(left_out[0]), replayed=True)]
        found = await self.several(left_out, SUMMARY, LARGEST_PAGE_BYTES)
        records = {record.job_id: record for record in found}
        for job_id, record in records.items():
            if not record.fields:
                raise key_expired(job_id)
        return [
            job if job.record.fields else Submitted(records[job.record.job_id], replayed=True)
            for job in submitted
        ]

    async def several(self, ids: Sequence[str], fields: Sequence[str], most_bytes: int) -> list[StoredRecord]:
        """Records: whole as far as `most_bytes` allow, else with these fields alone; empty if missing."""
        records: list[StoredRecord] = []
        for start in range(0, len(ids), RECORDS_AT_ONCE):
            some = ids[start : start + RECORDS_AT_ONCE]
            found = await self._redis.run(scripts.RECORDS, most_bytes, len(fields), *fields, *some)
            most_bytes -= sum(len(word) for pairs in found for word in pairs)
            records += [
                StoredRecord(job_id, as_dict(pairs)) for job_id, pairs in zip(some, found, strict=True)
            ]
        return records
