"""Random bodies, most of them bad: the server never fails."""

import asyncio
import json

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.error_envelope import ErrorEnvelope
from shared.job_type_loader import load_job_types
from shared.record import JobRecord

GOOD = [
    orjson.dumps({"type": name, "params": job_type.example}) for name, job_type in load_job_types().items()
]
NUMBERS = st.integers() | st.floats() | st.sampled_from([2**63, -(2**63) - 1, 2**64, 10**400, 1e308, -0.0])
TEXTS = st.text(st.characters(), max_size=20) | st.sampled_from(["\0", "\ud800", "echo", "type", "params"])
WILD = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=30,
)


def dump(value) -> bytes:
    """JSON as a careless client writes it: NaN, large numbers and lone surrogates included."""
    return json.dumps(value).encode()


@st.composite
def mutations(draw) -> bytes:
    body = bytearray(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 8)))
        body[start:end] = draw(
            st.binary(max_size=6) | st.sampled_from(list(b'{}[]",:0\\')).map(lambda b: bytes([b]))
        )
    return bytes(body)


SUBMISSIONS = st.fixed_dictionaries(
    {"type": st.sampled_from(list(load_job_types())) | WILD, "params": WILD},
    optional={"more": WILD},
)
BODIES = st.binary(max_size=200) | mutations() | WILD.map(dump) | SUBMISSIONS.map(dump)


# The API's own tasks draw random pauses meanwhile, in another thread than the strategies.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_no_body_makes_the_server_fail(client, prefix):
    async def send(body: bytes) -> None:
        answer = await client.post(
            f"{prefix}/jobs", content=body, headers={"Content-Type": "application/json"}
        )
        if answer.status_code == 202:
            JobRecord.model_validate_json(answer.content)
        else:
            assert answer.status_code in (400, 422), (answer.status_code, body)
            ErrorEnvelope.model_validate_json(answer.content)

    loop = asyncio.get_running_loop()

    @settings(max_examples=250, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(BODIES)
    def walk(body: bytes) -> None:
        asyncio.run_coroutine_threadsafe(send(body), loop).result(60)

    await asyncio.to_thread(walk)
