"""Conditions: entity tags by their grammar, in any number of lines."""

import pytest
from starlette.requests import Request

from api.conditions import ANY, entity_tags


@pytest.mark.parametrize(
    ("lines", "tags", "strong"),
    [
        (["*"], {ANY}, {ANY}), ([" * "], {ANY}, {ANY}), (['"1"'], {"1"}, {"1"}), (['W/"1"'], {"1"}, set()),
        (['W/"1", "2"', '"3"'], {"1", "2", "3"}, {"2", "3"}), (['"a,b" ,, "c"'], {"a,b", "c"}, {"a,b", "c"}),
        ([""], set(), set()), (["1"], set(), set()), (['w/"1"'], set(), set()), (['"1'], set(), set()),
        (['"*"'], {"*"}, {"*"}), (['W/ "1"'], set(), set()), (['""'], {""}, {""}), (['"1" x'], set(), set()),
    ],
)  # fmt: skip
def test_entity_tags_are_read_from_all_lines(lines, tags, strong):
    headers = [(b"if-match", line.encode("latin-1")) for line in lines]
    request = Request({"type": "http", "query_string": b"", "headers": headers})
    assert entity_tags(request, b"if-match") == tags
    assert entity_tags(request, b"if-match", strong=True) == strong
    assert entity_tags(request, b"if-none-match") is None
