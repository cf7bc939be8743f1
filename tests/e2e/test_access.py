"""An API with keys, made by the command that users run."""

import re

from dev.service import json_lines, serving
from dev.stack import wait_until
from tests.e2e.commands import finish, run_python

WARNING = "the API is open to everybody who can reach it"


def make_key(name: str, *options: str) -> tuple[str, str]:
    """A key and its entry, from the output of the command."""
    code, output = finish(run_python("-m", "api.keys", name, *options))
    assert code == 0, output
    key, entry = re.findall(r"^  (\S+)$", output, re.MULTILINE)
    return key, entry


def test_who_has_a_key_is_served_within_its_limit_and_nobody_else() -> None:
    slow, slow_entry = make_key("slow", "--rate", "2")
    reader, reader_entry = make_key("reader", "--scopes", "read")
    with serving(workers=1, API_KEYS=f"{slow_entry},{reader_entry}") as service:
        bearer = {"Authorization": f"Bearer {slow}"}
        assert service.post("echo", message=1).status_code == 401
        assert service.post("echo", message=1, headers={"X-API-Key": slow[:-1]}).status_code == 401
        assert service.post("echo", message=1, headers={"X-API-Key": reader}).status_code == 403

        first = service.post("echo", message=1, headers=bearer)
        second = service.post("echo", message=1, headers={"X-API-Key": slow})
        third = service.post("echo", message=1, headers=bearer)

        assert [answer.status_code for answer in (first, second, third)] == [202, 202, 429]
        assert first.headers["ratelimit"].startswith('"default";r=1;t=')
        assert third.json()["code"] == "rate_limited"
        assert 28 <= int(third.headers["retry-after"]) <= 30
        job = f"/jobs/{first.json()['job_id']}"
        wait_until(
            lambda: service.call("GET", job, headers={"X-API-Key": reader}).json()["done"],
            "the job is done",
        )
        output = service.stack.output("api")
        requests = [line for line in json_lines(output) if line["event"] == "request"]
        assert {line.get("caller") for line in requests} == {None, "slow", "reader"}
        assert slow not in output
        assert WARNING not in output


def test_an_open_api_that_others_can_reach_says_so_at_start() -> None:
    with serving(api=False) as service:
        service.stack.start_api(UVICORN_HOST="0.0.0.0")  # noqa: S104  # that is the point
        wait_until(lambda: WARNING in service.stack.output("api"), "the API warns")
        (line,) = [line for line in json_lines(service.stack.output("api")) if line["event"] == WARNING]
        assert (line["level"], line["listens_on"]) == ("warning", ["0.0.0.0"])  # noqa: S104
