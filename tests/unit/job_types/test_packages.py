"""JOB_TYPES: packages that both processes load, and packages that they refuse to start with."""

import re
import sys
from collections.abc import Callable

import pytest

from api.main import create_app
from shared.job_type import UnusableJobType
from shared.job_type_loader import load_job_types, names_by_package
from shared.settings import SharedSettings
from tests.unit.job_types.packages import Packages
from worker.__main__ import main as worker_main
from worker.registry import load_handlers, match_handlers


def load_all(*names: str) -> None:
    """Load job types and handlers as a worker does."""
    match_handlers(load_handlers(names), load_job_types(names), ["default"])


@pytest.fixture
def refusal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[tuple[str, ...], Callable[[], object]], str]:
    """The one line with which the main function of a process refuses these packages."""

    def refusal(names: tuple[str, ...], main: Callable[[], object]) -> str:
        monkeypatch.setenv("JOB_TYPES", ",".join(names))
        monkeypatch.setattr(sys, "argv", ["worker"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return refusal


def test_types_of_several_packages_are_loaded_together(packages: Packages):
    mine = packages.write_type(name="turn")
    others = packages.write_type(name="alter")
    assert list(load_job_types((mine, others))) == ["alter", "turn"]
    assert names_by_package((mine, others)) == {mine: ["turn"], others: ["alter"]}
    assert {handler.job_type.name for handler in load_handlers((mine, others))} == {"alter", "turn"}


def test_folders_with_an_init_file_are_packages_as_well(packages: Packages):
    mine = packages.write_type()
    packages.write(mine, "__init__.py", "")
    packages.write(mine, "turn/__init__.py", "")
    load_all(mine)


def test_a_package_may_be_within_another_one(packages: Packages):
    outer = packages.name()
    packages.write_contract(f"{outer}/types", "turn")
    assert list(load_job_types((f"{outer}.types",))) == ["turn"]


def test_a_contract_is_loaded_without_its_handler(packages: Packages):
    mine = packages.write_type()
    packages.write(mine, "turn/handler.py", "raise RuntimeError('an API has no torch')")
    assert list(load_job_types((mine,))) == ["turn"]
    assert packages.imported(mine) == {"turn", "contract"}


def missing(packages: Packages) -> tuple[str, ...]:
    return ("no_such_types",)


def missing_below(packages: Packages) -> tuple[str, ...]:
    return (f"{packages.write_type()}.turn.deeper",)


def broken_init(packages: Packages) -> tuple[str, ...]:
    mine = packages.write_type()
    packages.write(mine, "__init__.py", "import yesterday_s_library\n")
    return (mine,)


def broken_contract(packages: Packages) -> tuple[str, ...]:
    mine = packages.write_type()
    packages.write(mine, "turn/contract.py", "\n\nTYPE = JobType()\n")
    return (mine,)


def contract_with_a_syntax_error(packages: Packages) -> tuple[str, ...]:
    mine = packages.write_type()
    packages.write(mine, "turn/contract.py", "\nTYPE = (\n")
    return (mine,)


def contract_that_a_library_refuses(packages: Packages) -> tuple[str, ...]:
    mine = packages.write_type()
    packages.write(mine, "turn/contract.py", "\nimport json\nTYPE = json.loads('')\n")
    return (mine,)


def contract_without_a_type(packages: Packages) -> tuple[str, ...]:
    mine = packages.write_type()
    packages.write(mine, "turn/contract.py", "")
    return (mine,)


def package_without_a_type(packages: Packages) -> tuple[str, ...]:
    mine = packages.name()
    packages.write(mine, "turn/notes.txt", "")
    return (mine,)


def module(packages: Packages) -> tuple[str, ...]:
    mine = packages.name()
    (packages.folder / f"{mine}.py").touch()
    return (mine,)


def name_in_two_packages(packages: Packages) -> tuple[str, ...]:
    return (packages.write_type(), packages.write_type())


def name_twice_in_a_package(packages: Packages) -> tuple[str, ...]:
    mine = packages.write_type()
    packages.write_contract(mine, "again", name="turn")
    return (mine,)


def example_that_is_not_valid(packages: Packages) -> tuple[str, ...]:
    mine = packages.write_type()
    file = packages.write_contract(mine, "turn")
    file.write_text(file.read_text().replace('{"text": "a"}', '{"text": 1}'))
    return (mine,)


def result_that_is_not_plain(packages: Packages) -> tuple[str, ...]:
    mine = packages.write_type()
    file = packages.write_contract(mine, "turn")
    file.write_text(file.read_text().replace("result=str", "result=Packages") + "\n")
    file.write_text(file.read_text().replace("TYPE = ", "class Packages:\n    pass\n\n\nTYPE = "))
    return (mine,)


REFUSED_BY_BOTH: dict[Callable[[Packages], tuple[str, ...]], str] = {
    missing: "Python finds no package 'no_such_types'; put the folder that holds it on PYTHONPATH",
    missing_below: r"Python finds no package '{0}'; put the folder",
    broken_init: r"{0} can't be imported: ModuleNotFoundError: No module named 'yesterday_s_library' "
    r"\(\S+/{0}/__init__\.py, line 1\); correct it, or install what it needs",
    broken_contract: r"{0}\.turn\.contract can't be imported: NameError: name 'JobType' is not defined "
    r"\(\S+/{0}/turn/contract\.py, line 3\); correct it",
    contract_with_a_syntax_error: r"{0}\.turn\.contract can't be imported: SyntaxError: '\(' was never "
    r"closed \(\S+/{0}/turn/contract\.py, line 2\); correct it",
    contract_that_a_library_refuses: r"{0}\.turn\.contract can't be imported: JSONDecodeError: .* "
    r"\(\S+/{0}/turn/contract\.py, line 3\); correct it",
    contract_without_a_type: r"{0}\.turn\.contract defines no job type; assign a JobType",
    package_without_a_type: r"the package '{0}' has no job type; add {0}/<name>/contract\.py",
    module: "'{0}' is a module; name the package",
    name_in_two_packages: r"{0}\.turn\.contract and {1}\.turn\.contract both define the job type 'turn'; "
    "rename one of the two",
    name_twice_in_a_package: r"{0}\.again\.contract and {0}\.turn\.contract both define the job type 'turn'",
    result_that_is_not_plain: "The result of the job type 'turn' can't be serialized: <class .*; let it be",
    example_that_is_not_valid: "The example of the job type 'turn' is not valid: text: Input should be a "
    "valid string; correct",
}


@pytest.mark.parametrize(
    ("write", "reason"), REFUSED_BY_BOTH.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_packages_that_neither_process_starts_with(packages: Packages, write, reason: str):
    names = write(packages)
    with pytest.raises(UnusableJobType, match=pattern(reason, names)) as refused:
        load_job_types(names)
    assert "\n" not in str(refused.value)


def no_handler(packages: Packages) -> tuple[str, ...]:
    mine = packages.name()
    packages.write_contract(mine, "turn")
    packages.write_contract(mine, "alter")
    return (mine,)


def handler_without_a_mark(packages: Packages) -> tuple[str, ...]:
    mine = packages.write_type()
    file = packages.write_handler(mine, "turn")
    file.write_text(file.read_text().replace("@handles(TYPE)\n", ""))
    return (mine,)


def broken_handler(packages: Packages) -> tuple[str, ...]:
    mine = packages.write_type()
    packages.write(mine, "turn/handler.py", "import yesterday_s_library\n")
    return (mine,)


def handler_without_a_contract(packages: Packages) -> tuple[str, ...]:
    mine = packages.write_type()
    packages.write(mine, "alone/handler.py", CONTRACT_IN_HANDLER)
    return (mine,)


def two_handlers(packages: Packages) -> tuple[str, ...]:
    mine = packages.write_type()
    packages.write_handler(mine, "again", of="turn")
    return (mine,)


CONTRACT_IN_HANDLER = """
from shared.job_type import JobType, Params
from worker.registry import handles

TYPE = JobType(name="turn", summary="", params=Params, result=str, example={})


@handles(TYPE)
async def perform(params, job):
    return ""
"""
REFUSED_BY_WORKERS: dict[Callable[[Packages], tuple[str, ...]], str] = {
    no_handler: "no handler performs 'alter', 'turn'; add a handler.py beside the contract",
    handler_without_a_mark: "no handler performs 'turn'; add a handler.py beside the contract, with a "
    "function marked by @handles",
    broken_handler: r"{0}\.turn\.handler can't be imported: ModuleNotFoundError: No module named "
    r"'yesterday_s_library' \(\S+/{0}/turn/handler\.py, line 1\); correct it, or install",
    handler_without_a_contract: r"{0}\.alone\.handler\.perform performs 'turn', which no "
    "contract defines; define the job type in the contract.py",
    two_handlers: r"{0}\.again\.handler\.perform and {0}\.turn\.handler\.perform both perform 'turn'; "
    "remove one",
}


@pytest.mark.parametrize(
    ("write", "reason"), REFUSED_BY_WORKERS.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_packages_that_a_worker_does_not_start_with(packages: Packages, write, reason: str):
    names = write(packages)
    with pytest.raises(UnusableJobType, match=pattern(reason, names)) as refused:
        load_all(*names)
    assert "\n" not in str(refused.value)


def pattern(reason: str, names: tuple[str, ...]) -> str:
    return "^" + ("" if reason.startswith("The ") else "JOB_TYPES: ") + reason.format(*names)


@pytest.mark.parametrize("main", [create_app, worker_main], ids=["api", "worker"])
@pytest.mark.parametrize(
    "write", [missing, broken_contract, name_in_two_packages], ids=lambda write: write.__name__
)
def test_both_processes_end_with_one_line(packages: Packages, refusal, write, main):
    names = write(packages)
    line = refusal(names, main)
    reason = pattern(REFUSED_BY_BOTH[write], names).removeprefix("^")
    assert re.match(f"Configuration error: {reason}", line), line


@pytest.mark.parametrize("write", [no_handler, broken_handler], ids=lambda write: write.__name__)
def test_a_worker_ends_with_one_line(packages: Packages, refusal, write):
    names = write(packages)
    reason = pattern(REFUSED_BY_WORKERS[write], names).removeprefix("^")
    assert re.match(f"Configuration error: {reason}", refusal(names, worker_main))


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("job_types", ("job_types",)),
        (" job_types , my_types,acme.types, ", ("job_types", "my_types", "acme.types")),
    ],
)
def test_the_setting_is_a_list_of_packages(
    monkeypatch: pytest.MonkeyPatch, value: str, names: tuple[str, ...]
):
    monkeypatch.setenv("JOB_TYPES", value)
    assert SharedSettings().job_types == names


@pytest.mark.parametrize(
    "value", ["", ",", "my_types,my_types", "../my_types", "my-types", "my_types.", "1st"]
)
def test_a_setting_that_is_no_list_of_packages_is_refused(monkeypatch: pytest.MonkeyPatch, value: str):
    monkeypatch.setenv("JOB_TYPES", value)
    with pytest.raises(ValueError, match="job_types"):
        SharedSettings()
