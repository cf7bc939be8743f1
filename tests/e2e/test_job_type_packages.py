"""A user's own package of job types, beside the tree: both processes load it and run its jobs."""

from collections.abc import Iterator

import pytest

from dev.service import Service, json_lines, serving

CONTRACT = """
from dataclasses import dataclass

from shared.job_type import JobType, Params


class TallyParams(Params):
    text: str


@dataclass
class Tally:
    letters: int


TALLY = JobType(
    name="tally",
    summary="Count letters.",
    params=TallyParams,
    result=Tally,
    example={"text": "a"},
    max_attempts=1,
)
"""
HANDLER = """
from my_types.tally.contract import TALLY, Tally, TallyParams
from my_types.tally.errors import NoLetters
from shared.errors import FinalError
from counting import count
from worker.context import JobContext
from worker.registry import handles


@handles(TALLY)
async def tally(params: TallyParams, job: JobContext) -> Tally:
    try:
        return await job.in_process(count, params.text)
    except NoLetters as error:
        raise FinalError(str(error), code="no_letters") from None
"""
ERRORS = """
class NoLetters(Exception):
    pass
"""
COUNTING = """
from my_types.tally.contract import Tally
from my_types.tally.errors import NoLetters


def count(text):
    letters = sum(map(str.isalpha, text))
    if not letters:
        raise NoLetters("no letter in it")
    return Tally(letters)
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with the types of the tree and those of a folder elsewhere."""
    folder = tmp_path_factory.mktemp("beside")
    (folder / "my_types/tally").mkdir(parents=True)
    for name, text in (("contract", CONTRACT), ("handler", HANDLER), ("errors", ERRORS)):
        (folder / f"my_types/tally/{name}.py").write_text(text)
    (folder / "counting.py").write_text(COUNTING)
    with serving(workers=1, JOB_TYPES="job_types,my_types", PYTHONPATH=str(folder)) as service:
        yield service


def test_a_job_of_its_type_is_done(service: Service) -> None:
    job_id = service.submit("tally", text="a b c")
    assert service.wait_for(job_id, "completed")["result"] == {"letters": 3}
    assert service.wait_for(service.submit("echo", message=1), "completed")["result"] == {"message": 1}


def test_an_error_of_its_own_comes_back_from_the_process(service: Service) -> None:
    record = service.wait_for(service.submit("tally", text="1 2"), "failed")
    assert record["errors"][0]["code"] == "no_letters"


def test_both_processes_say_which_packages_they_have_loaded(service: Service) -> None:
    packages = service.info()["job_type_packages"]
    assert packages["my_types"] == ["tally"]
    assert "echo" in packages["job_types"]
    for name in ("api", "worker-0"):
        (line,) = [
            line for line in json_lines(service.stack.output(name)) if line["event"] == "job types loaded"
        ]
        assert line["packages"] == packages


def test_its_type_is_described_as_those_of_the_tree(service: Service) -> None:
    described = service.call("GET", "/job-types/tally").json()
    assert described["summary"] == "Count letters."
    assert described["result"]["properties"]["letters"] == {"title": "Letters", "type": "integer"}
