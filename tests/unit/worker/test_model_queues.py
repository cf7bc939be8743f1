"""ModelHosts: queues that are closed while models load, and jobs that are postponed in open ones."""

from dataclasses import replace

import pytest

from tests.model_types.doubled.contract import DOUBLED
from tests.model_types.doubled.handler import doubled
from worker.handler import Handler
from worker.models.handler import ModelHandler
from worker.models.hosts import POSTPONE_SECONDS, ModelHosts


def model(name: str, queue: str) -> ModelHandler:
    return ModelHandler(replace(DOUBLED, name=name, queue=queue), doubled, doubled.__model__)


def plain(name: str, queue: str) -> Handler:
    return Handler(replace(DOUBLED, name=name, queue=queue), doubled)


@pytest.mark.parametrize(
    ("handlers", "closed", "postponed"),
    [
        ([model("a", "one")], {"one"}, 0.0),
        ([model("a", "one"), plain("b", "one")], set(), POSTPONE_SECONDS),
        ([model("a", "one"), model("b", "one")], {"one"}, POSTPONE_SECONDS),  # until one of them is loaded
        ([model("a", "one"), model("b", "two")], {"one", "two"}, 0.0),
        ([model("a", "one"), plain("b", "elsewhere")], {"one"}, 0.0),
    ],
)
async def test_a_queue_is_closed_until_a_job_of_it_can_start(
    handlers: list[Handler], closed: set[str], postponed: float
):
    by_type = {handler.job_type.name: handler for handler in handlers}
    hosts = ModelHosts(by_type, ("one", "two"), max_growth=1)
    assert hosts.closed_queues == closed
    first = handlers[0]
    assert isinstance(first, ModelHandler)
    assert first.batcher.postpone_seconds == postponed
