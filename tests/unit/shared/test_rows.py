"""Rows: the names of their words in a script are replaced by numbers."""

import re
from inspect import signature

import pytest

from shared.store.job_leases import _claim
from shared.store.rows import ROWS, ClaimRow, numbered
from shared.store.scripts import FOLDER, Script


def test_a_field_is_its_index_in_the_row():
    source = "ARGV[at + CLAIM.queue], claims[n + CLAIM.request_id], #CLAIM, #claims, LEASES"
    assert numbered(source) == "ARGV[at + 1], claims[n + 8], 10, #claims, LEASES"


def test_a_row_whose_name_begins_with_that_of_another_one_is_told_apart():
    assert numbered("#STEP_UNDER_WAY + STEP_UNDER_WAY.pump + STEP.pump") == "3 + 2 + 2"


def test_a_field_that_a_row_lacks_is_refused():
    with pytest.raises(ValueError, match="The row CLAIM has no field 'id'; name one of queue, job_id, "):
        numbered("claims[CLAIM.id]")


@pytest.mark.parametrize("row", sorted(ROWS))
def test_every_row_is_used_by_a_script(row: str):
    assert any(re.search(rf"\b{row}\.\w", path.read_text()) for path in FOLDER.rglob("*.lua"))


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.lua")))
def test_no_name_of_a_row_is_left_in_a_script(name: str):
    code = re.sub(r"--.*", "", Script(name).source)
    assert not re.findall(rf"#?\b(?:{'|'.join(ROWS)})\b", code)


def test_a_claim_is_made_of_the_words_of_its_row_in_their_order():
    assert tuple(signature(_claim).parameters) == ClaimRow._fields
