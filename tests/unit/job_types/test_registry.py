"""Handlers are found by their files, one for each job type that a worker serves."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from job_types.echo.contract import ECHO, EchoParams
from job_types.sleep.contract import SLEEP
from shared.job_type import JobType
from shared.job_type_loader import load_job_types
from worker.context import JobContext
from worker.handler import Handler
from worker.registry import handles, load_handlers, match_handlers

ELSEWHERE = replace(ECHO, name="elsewhere", queue="gpu")


async def give_back(params: EchoParams, job: JobContext) -> EchoParams:
    return params


def handler_of(job_type: JobType) -> Handler:
    return Handler(job_type, give_back)


def test_each_job_type_has_a_handler_in_its_folder():
    assert {handler.job_type.name for handler in load_handlers()} == set(load_job_types())


def test_a_worker_of_the_default_queue_starts_with_what_is_there():
    handlers = match_handlers(load_handlers(), load_job_types(), ["default"])
    assert all(handler.job_type.name == name for name, handler in handlers.items())
    assert set(handlers) == set(load_job_types())


def test_two_handlers_of_one_type_are_refused_by_its_name():
    with pytest.raises(ValueError, match=r"\.give_back and .*\.give_back both perform 'echo'; remove one"):
        match_handlers([handler_of(ECHO), handler_of(ECHO)], {"echo": ECHO}, ["default"])


def test_a_served_type_without_a_handler_is_refused_by_its_name():
    with pytest.raises(ValueError, match="no handler performs 'sleep'; add a handler"):
        match_handlers([handler_of(ECHO)], {"echo": ECHO, "sleep": SLEEP}, ["default"])


def test_every_missing_handler_is_named():
    with pytest.raises(ValueError, match="no handler performs 'echo', 'sleep';"):
        match_handlers([], {"echo": ECHO, "sleep": SLEEP}, ["default"])


def test_a_type_of_a_queue_that_is_not_served_needs_no_handler():
    job_types = {"echo": ECHO, "elsewhere": ELSEWHERE}
    assert set(match_handlers([handler_of(ECHO)], job_types, ["default"])) == {"echo"}


def test_the_same_type_needs_a_handler_once_its_queue_is_served():
    job_types = {"echo": ECHO, "elsewhere": ELSEWHERE}
    with pytest.raises(ValueError, match="elsewhere"):
        match_handlers([handler_of(ECHO)], job_types, ["default", "gpu"])


def test_a_marked_function_stays_the_function_it_was():
    marked = handles(ELSEWHERE)(give_back)
    assert marked is give_back
    assert marked.__handles__ is ELSEWHERE


def test_a_handler_reads_params_as_its_contract_says():
    assert handler_of(ECHO).validate(b'{"message":[1,null]}') == EchoParams(message=[1, None])
    with pytest.raises(ValidationError):
        handler_of(ECHO).validate(b'{"text":"hello"}')


def test_a_handler_writes_results_as_its_contract_says():
    assert handler_of(ECHO).encode(EchoParams(message="é")) == '{"message":"é"}'.encode()
    assert handler_of(ECHO).encode({"message": 1}) == b'{"message":1}'
    with pytest.raises(ValidationError):
        handler_of(ECHO).encode(None)
