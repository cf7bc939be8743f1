"""A secret among a job's params reaches the handler, and is shown to nobody."""

from typing import Any

import orjson
import pytest
from pydantic import Field, SecretBytes, SecretStr
from redis.asyncio import Redis

from dev.webhook_receiver import SECRET as SIGNING
from shared.job_type import JobType, Params
from shared.job_type_loader import Contract, index_by_name
from shared.store import redis_keys
from shared.store.job_leases import Finished, JobLeases, Outcome, OutcomeKind
from shared.stored_record import StoredRecord
from shared.webhooks.delivery import DELIVERY
from tests.conftest import LogTape
from tests.new_jobs import RETENTION
from worker.handler import Handler
from worker.webhooks.deliverer import event

WORDS = ("hunter2", "hunter3", "hunter4")


class Login(Params):
    password: SecretStr
    tokens: tuple[SecretBytes, ...] = ()
    hidden: str = Field(default="", exclude=True)
    user_name: str = Field(default="me", alias="userName")


LOGIN = JobType(
    name="login", summary="Log in.", params=Login, result=str, example={"password": "x", "userName": "you"}
)
PARAMS = {"password": "hunter2", "tokens": ["hunter3"], "hidden": "hunter4", "userName": "ann"}
JOB = {"type": "login", "params": PARAMS, "webhook": {"url": "https://example.com/hook"}}


@pytest.fixture
async def client(serve: Any, fake_redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(
        "api.configuration.load_job_types", lambda _: index_by_name([Contract(__name__, LOGIN)])
    )
    return await serve(fake_redis, webhook_secrets=SIGNING)


def shows_nothing(text: str) -> bool:
    return not any(word in text for word in WORDS)


async def test_no_answer_shows_a_secret(client: Any, log_tape: LogTape) -> None:
    submitted = await client.post("/jobs", json=JOB, headers={"Idempotency-Key": "k"})
    assert submitted.status_code == 202, submitted.text
    job_id = submitted.json()["job_id"]
    answers = [
        submitted,
        await client.post("/jobs", json=JOB, headers={"Idempotency-Key": "k"}),
        await client.post("/jobs/batch", json={"jobs": [JOB, JOB]}),
        await client.get(f"/jobs/{job_id}"),
        await client.get("/jobs"),
        await client.delete(f"/jobs/{job_id}"),
        await client.post(f"/jobs/{job_id}/retry"),
        await client.post(
            "/jobs", json={**JOB, "params": {**PARAMS, "tokens": "hunter3", "more": "hunter4"}}
        ),
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 200, 200, 200, 202, 422]
    assert all(shows_nothing(answer.text) for answer in answers)
    shown = answers[3].json()["params"]
    assert (shown["password"], shown["tokens"], shown["userName"]) == ("**********", ["**********"], "ann")
    assert shows_nothing(log_tape.text())


async def test_the_handler_gets_what_was_sent(client: Any, fake_redis: Redis) -> None:
    first = (await client.post("/jobs", json=JOB)).json()["job_id"]
    job_leases = JobLeases(fake_redis)
    (claim,) = (await job_leases.step("w", 1, ["default"], [], slots=1, lease=60, retention=RETENTION)).claims
    handler = Handler(LOGIN, lambda params, job: None)
    expected = Login.model_validate(PARAMS)
    assert handler.validate(claim.params) == expected

    await job_leases.step(
        "w",
        2,
        ["default"],
        [Finished(claim, Outcome(OutcomeKind.FAILED, b'{"code":"c"}'))],
        slots=0,
        lease=60,
        retention=RETENTION,
    )
    await client.post(f"/jobs/{first}/retry")
    (again,) = (await job_leases.step("w", 3, ["default"], [], slots=1, lease=60, retention=RETENTION)).claims
    assert handler.validate(again.params) == expected


async def test_a_webhook_carries_no_secret(client: Any, fake_redis: Redis) -> None:
    job_id = (await client.post("/jobs", json=JOB)).json()["job_id"]
    await client.delete(f"/jobs/{job_id}")
    fields = await fake_redis.hgetall(f"{redis_keys.RECORD}{redis_keys.DELIVERY_ID}1-{job_id}")
    assert shows_nothing(str(fields))
    told: dict[str, Any] = orjson.loads(event(DELIVERY.params.model_validate_json(fields[b"params"])))
    assert told["data"]["params"]["password"] == "**********"
    assert shows_nothing(str(StoredRecord(job_id, fields)))
