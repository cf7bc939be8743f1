"""A few requests of each kind that the API's own document gives rise to; `make fuzz` sends many."""

from tests.e2e.commands import finish, run_python


def test_no_answer_is_outside_the_document():
    code, output = finish(
        run_python("-m", "fuzz", "--cases", "5", "--seconds", "60", "--seed", "1"), seconds=240
    )
    assert code == 0, output
