"""The report of slow scripts: the scripts' names, other commands, the longest call."""

from benchmarks.slow_scripts import SlowCall, describe_calls, read_entry
from shared.store.scripts import STEP


def test_entry_of_a_script_has_its_name_and_its_milliseconds() -> None:
    entry = {"command": f"EVALSHA {STEP.sha} 0 worker".encode(), "duration": 7300}
    assert read_entry(entry) == SlowCall("step", 7.3)


def test_entry_of_an_unknown_script_or_a_function_keeps_its_own_name() -> None:
    assert read_entry({"command": b"evalsha 0123ab 0", "duration": 6000}) == SlowCall("0123ab", 6.0)
    assert read_entry({"command": b"FCALL step 0", "duration": 6000}) == SlowCall("step", 6.0)


def test_entry_of_a_command_outside_of_scripts_is_left_out() -> None:
    assert read_entry({"command": b"INFO everything", "duration": 9000}) is None


def test_report_counts_slow_calls_and_names_the_longest() -> None:
    slow = [SlowCall("step", 6.0), SlowCall("submit", 20.44), SlowCall("list", 5.1)]
    expected = "Scripts: 3 of 1,200 calls held Redis for more than 5 ms; the longest, submit, took 20.4 ms."
    assert describe_calls(1200, slow) == expected


def test_report_without_slow_calls_names_no_script() -> None:
    assert describe_calls(1200, []) == "Scripts: 0 of 1,200 calls held Redis for more than 5 ms."
    assert describe_calls(0, []) == "Scripts: no call in this section."
