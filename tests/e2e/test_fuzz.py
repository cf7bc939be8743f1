"""Fuzzing with a few requests for each operation of the OpenAPI document; `make fuzz` sends many."""

from tests.e2e.commands import finish, run_python


def test_no_answer_is_outside_the_document():
    code, output = finish(
        run_python("-m", "fuzz", "--cases", "3", "--seconds", "120", "--seed", "1"), seconds=160
    )
    assert code == 0, output
