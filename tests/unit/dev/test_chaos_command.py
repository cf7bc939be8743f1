"""The command line of the fault suite, with scenarios that break nothing."""

import importlib

import pytest

import chaos.__main__ as command
from chaos.checks import at_most, empty, exactly, table


class Scenario:
    def __init__(self, *checks, error=None):
        self.checks, self.error = checks, error

    def run(self, options):
        if self.error:
            raise self.error
        return list(self.checks)


@pytest.fixture
def scenarios(monkeypatch):
    """Scenarios by name, in place of the real ones."""
    found: dict[str, Scenario] = {}
    monkeypatch.setattr(command, "import_module", lambda name: found[name.rpartition(".")[2]])
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)
    return found


def test_every_registered_scenario_has_a_module_that_runs():
    modules = [importlib.import_module(f"chaos.scenarios.{name}") for name in command.SCENARIOS]
    assert modules
    assert all(callable(module.run) for module in modules)


def test_the_exit_code_is_0_if_every_check_holds(scenarios, capsys):
    scenarios["kills"] = Scenario(exactly("kill: jobs lost", 0, 0))
    assert command.main(["--only", "kills", "--seed", "1"]) == 0
    assert "\nScenarios: 1. Checks: 1, 0 failed; " in capsys.readouterr().out


def test_a_failed_check_ends_with_1_and_names_the_command_that_repeats_it(scenarios, capsys):
    scenarios["kills"] = Scenario(exactly("kill: jobs lost", 0, 0))
    scenarios["cuts"] = Scenario(exactly("cut: jobs lost", 1, 0))
    assert command.main(["--only", "kills,cuts", "--seed", "7", "--scale", "0.5"]) == 1
    assert capsys.readouterr().out.endswith("Repeat: python -m chaos --only cuts --seed 7 --scale 0.5\n")


def test_an_error_of_a_scenario_is_a_failed_check(scenarios, capsys):
    scenarios["kills"] = Scenario(error=TimeoutError("Not reached in 60 s: x."))
    assert command.main(["--only", "kills"]) == 1
    assert "TimeoutError: Not reached in 60 s: x." in capsys.readouterr().out


def test_an_unknown_scenario_is_refused_with_the_list_of_all(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["--only", "kills,nothing"])
    assert ended.value.code == 2
    assert "no such scenario: nothing; choose from kills, api_kills" in capsys.readouterr().err


def test_the_table_names_each_fault_once():
    rows = table(
        [exactly("kill: lost", 0, 0), at_most("kill: slowest", 2.5, 2.0, "s"), empty("cut: left", ["a", "b"])]
    ).splitlines()[2:]
    assert [[cell.strip() for cell in row.strip("|").split("|")] for row in rows] == [
        ["kill", "lost", "0", "0", "ok"],
        ["", "slowest", "2.50 s", "≤ 2.00 s", "FAILED"],
        ["cut", "left", "2 (a; b)", "0", "FAILED"],
    ]
