"""Deliveries of webhooks: jobs that the script writes which ends the job."""

import orjson
import pytest

from shared.errors import JobExpired, JobNotFinished, JobNotFound
from shared.record import JobState
from shared.store import redis_keys
from shared.store.job_leases import Finished, Outcome, OutcomeKind
from shared.store.job_list import Filters
from tests.new_jobs import new_job

URL = "https://receiver.example/hook"
ERROR = b'{"code":"e","message":"m","hint":"h","retryable":true,"attempt":1}'
FIRST_DELIVERY = "webhook-1-a"


@pytest.fixture
def submit_with_webhook(job_queue):
    async def submit(job_id: str = "a", **options) -> None:
        params = b'{"message":"\xc3\xa4"}'
        await job_queue.submit(new_job(job_id, params=params, webhook=URL, **options))

    return submit


@pytest.fixture
def deliverer(new_worker):
    return new_worker(redis_keys.WEBHOOKS)


async def claim_delivery(deliverer):
    (claim,) = await deliverer.claim()
    return claim, orjson.loads(claim.params)


@pytest.mark.parametrize(
    ("kind", "body", "state"),
    [
        (OutcomeKind.COMPLETED, b'{"x":1}', "completed"),
        (OutcomeKind.FAILED, ERROR, "failed"),
        (OutcomeKind.CANCELLED, b"", "cancelled"),
    ],
)
async def test_it_tells_of_the_record_as_it_ended(
    kind, body, state, submit_with_webhook, worker, deliverer, job_queue, indexes_agree
):
    await submit_with_webhook()
    claim = await worker.claim_one()
    await worker.step(Finished(claim, Outcome(kind, body), b'{"fraction":1}', b'1 0 {"message":"m"}'))
    claim, params = await claim_delivery(deliverer)
    record = await job_queue.get("a")
    assert (claim.job_id, claim.queue, claim.request_id) == (FIRST_DELIVERY, redis_keys.WEBHOOKS, "r-a")
    assert (params["job_id"], params["url"]) == ("a", URL)
    assert params["ended_at"] == int(record.fields[b"finished_at"])
    assert {k.encode(): v.encode() for k, v in params["fields"].items()} == record.fields
    assert params["fields"]["state"] == state
    assert orjson.loads(claim.message)["a"] == [FIRST_DELIVERY]


async def test_a_job_without_a_webhook_tells_nobody(submit, worker, server):
    await submit("a")
    await worker.finish(await worker.claim_one(), OutcomeKind.COMPLETED, b"1")
    assert not await server.exists(redis_keys.QUEUE + redis_keys.WEBHOOKS, redis_keys.RECORD + FIRST_DELIVERY)


async def test_a_retry_tells_nobody_yet(submit_with_webhook, worker, server):
    await submit_with_webhook()
    await worker.finish(await worker.claim_one(), OutcomeKind.RETRY, ERROR, delay=60_000)
    assert not await server.exists(redis_keys.QUEUE + redis_keys.WEBHOOKS)


async def test_a_waiting_job_that_is_cancelled_tells(submit_with_webhook, job_queue, deliverer):
    await submit_with_webhook()
    await job_queue.cancel("a")
    _, params = await claim_delivery(deliverer)
    assert params["fields"]["state"] == "cancelled"


async def test_a_job_that_starts_too_late_tells_with_its_error(
    submit_with_webhook, worker, deliverer, server
):
    await submit_with_webhook(start_within_seconds=1)
    await server.zadd(redis_keys.START_BY, {"a": 1})
    await server.hset(redis_keys.RECORD + "a", "start_by", 1)
    await worker.step(slots=1)
    _, params = await claim_delivery(deliverer)
    assert orjson.loads(params["fields"]["errors"])[0]["code"] == "job_expired"


async def test_a_poison_job_tells(submit_with_webhook, worker, deliverer):
    await submit_with_webhook()
    for _ in range(3):
        await worker.lose(await worker.claim_one())
        await worker.step()
    _, params = await claim_delivery(deliverer)
    assert len(orjson.loads(params["fields"]["errors"])) == 3


async def test_a_repeated_outcome_makes_one_delivery(submit_with_webhook, worker, deliverer, job_queue):
    await submit_with_webhook()
    done = Finished(await worker.claim_one(), Outcome(OutcomeKind.COMPLETED, b"1"))
    for _ in range(2):
        await worker.step(done, number=7)
    assert len(await deliverer.claim(slots=9)) == 1
    assert len(await job_queue.deliveries(await job_queue.get("a"))) == 1


async def test_deliveries_are_in_no_list_and_no_count(
    submit_with_webhook, worker, deliverer, job_queue, server, indexes_agree, find_leaks
):
    await submit_with_webhook()
    await worker.finish(await worker.claim_one(), OutcomeKind.COMPLETED, b"1")
    claim, _ = await claim_delivery(deliverer)
    assert await deliverer.finish(claim, OutcomeKind.RETRY, ERROR)
    claim, _ = await claim_delivery(deliverer)
    assert claim.attempt == 2
    assert await deliverer.finish(claim, OutcomeKind.COMPLETED, b'{"status":204}')
    for call in (job_queue.get, job_queue.cancel, job_queue.version):
        with pytest.raises(JobNotFound):
            await call(FIRST_DELIVERY)
    page = await job_queue.page(Filters(), limit=9, after=None)
    assert [record.job_id for record in page.records] == ["a"]
    assert sum((await job_queue.state_counts()).values()) == 1
    for idle in (worker, deliverer):
        await idle.step(slots=1)
    assert await find_leaks(server) == []
    (delivery,) = await job_queue.deliveries(await job_queue.get("a"))
    assert (delivery.job_id, delivery.state) == (FIRST_DELIVERY, JobState.COMPLETED)
    assert await server.ttl(redis_keys.RECORD + FIRST_DELIVERY) > 0


async def test_it_is_sent_again_on_request(submit_with_webhook, worker, deliverer, job_queue):
    await submit_with_webhook()
    await worker.finish(await worker.claim_one(), OutcomeKind.COMPLETED, b"1")
    claim, first = await claim_delivery(deliverer)
    assert await job_queue.redeliver("a") == 1  # the delivery is running
    await deliverer.finish(claim, OutcomeKind.FAILED, ERROR)
    assert await job_queue.redeliver("a") == 2
    assert await job_queue.redeliver("a") == 2
    claim, second = await claim_delivery(deliverer)
    assert claim.job_id == "webhook-2-a"
    assert second["url"] == first["url"]
    assert [d.job_id for d in await job_queue.deliveries(await job_queue.get("a"))] == [
        FIRST_DELIVERY,
        "webhook-2-a",
    ]


async def test_a_delivery_that_waits_for_its_next_attempt_goes_out_at_once(
    submit_with_webhook, worker, deliverer, job_queue
):
    await submit_with_webhook()
    await worker.finish(await worker.claim_one(), OutcomeKind.COMPLETED, b"1")
    claim, _ = await claim_delivery(deliverer)
    await deliverer.finish(claim, OutcomeKind.RETRY, ERROR, delay=3_600_000)
    assert await deliverer.claim() == []
    assert await job_queue.redeliver("a") == 1
    claim, _ = await claim_delivery(deliverer)
    assert (claim.job_id, claim.attempt) == (FIRST_DELIVERY, 2)


async def test_there_must_be_something_to_send(submit_with_webhook, submit, worker, job_queue, server):
    with pytest.raises(JobNotFound):
        await job_queue.redeliver("a")
    await submit_with_webhook()
    with pytest.raises(JobNotFinished):
        await job_queue.redeliver("a")
    await submit("b")
    await job_queue.cancel("b")
    assert await job_queue.redeliver("b") == 0
    await server.delete(redis_keys.RECORD + "a")
    with pytest.raises(JobExpired):
        await job_queue.redeliver("a")
