"""docs/reliability.md: each promise is held by tests and scenarios that exist."""

import ast
import re
from pathlib import Path

import pytest

from chaos.__main__ import SCENARIOS

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/reliability.md").read_text()
ROW = re.compile(r"^\| ([^|`]*)\| `([\w/]+\.py)::(\w+)` \| `(\w+)` \|$", re.MULTILINE)
TABLE = PAGE.partition("\n## Tests of the promises\n")[2].partition("\n## ")[0]
ROWS = ROW.findall(TABLE)


def test_every_row_of_the_table_is_understood():
    assert len(ROWS) == len(re.findall(r"^\|", TABLE, re.MULTILINE)) - 2  # its head has two lines
    assert len(ROWS) >= 20


def test_every_promise_is_held_by_a_test_and_a_scenario():
    promises = re.findall(r"^- \*\*(.+?)\.\*\*", PAGE, re.MULTILINE)
    sections = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    held = [promise.strip() for promise, _, _, _ in ROWS if promise.strip()]
    assert len(promises) >= 9
    assert ROWS[0][0].strip()
    assert set(promises) <= set(held) <= {*promises, *sections}
    assert len(held) == len(set(held))


@pytest.mark.parametrize(("file", "name"), sorted({(file, name) for _, file, name, _ in ROWS}))
def test_the_test_exists(file: str, name: str):
    tree = ast.parse((ROOT / "tests" / file).read_text())
    functions = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name.startswith("test_")
    assert name in functions


@pytest.mark.parametrize("name", sorted({scenario for _, _, _, scenario in ROWS}))
def test_the_scenario_exists(name: str):
    assert name in SCENARIOS
    assert (ROOT / "chaos/scenarios" / f"{name}.py").is_file()


def test_every_scenario_is_registered():
    files = {path.stem for path in (ROOT / "chaos/scenarios").glob("*.py")} - {"__init__"}
    assert files == set(SCENARIOS)
