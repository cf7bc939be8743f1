"""Messages of child processes, read as plain data; and the environment that children get."""

import os
import pickle
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.unit.worker import in_child
from worker.log_lines import Line, line_of
from worker.processes.environment import child_environment
from worker.processes.plain_pickles import load_plain, packages_of
from worker.processes.pool import Processes
from worker.processes.protocol import ProtocolError, read_reports

GOOD = line_of("a", {"b": 1})


def test_a_child_gets_what_is_named_besides():
    given = {
        "REDIS_URL": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "HTTPS_PROXY": "x",
        "PATH": "/bin",
        "LC_ALL": "C",
        "TMPDIR": "/scratch",
        "MODEL_PATH": "/models",
    }
    assert child_environment(["MODEL_PATH"], given=given) == {
        "PATH": "/bin", "LC_ALL": "C", "TMPDIR": "/scratch", "MODEL_PATH": "/models"
    }  # fmt: skip


OWN = ("my_types", "acme.types")
REFUSED = {
    "a function": os.system,
    "a builtin function": eval,
    "getattr": getattr,
    "a class that runs programs": subprocess.Popen,
    "a class of the engine": Processes,
    "a function of the same package": in_child.compute,
    "what the same package has imported": partial,
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_what_is_no_plain_data_is_not_loaded(value: object):
    with pytest.raises(pickle.UnpicklingError, match="is no plain data"):
        load_plain(pickle.dumps(value), packages_of(in_child.give_back, OWN))


def test_an_import_of_the_same_package_is_not_its_own():
    body = b"\x80\x04\x8c\x1atests.unit.worker.in_child\x8c\x0asubprocess\x93."
    for name in (b"subprocess", b"Callable", b"ThreadPoolExecutor"):
        with pytest.raises(pickle.UnpicklingError, match="is no plain data"):
            load_plain(body.replace(b"\x0asubprocess", bytes([len(name)]) + name), ("tests",))


def test_a_function_speaks_for_its_own_package_alone():
    assert "tests" in packages_of(in_child.compute, OWN)
    assert "tests" in packages_of(partial(in_child.compute, None), OWN)
    for function in (os.system, len, load_plain, Path.exists):
        assert set(packages_of(function, OWN)) == {"my_types", "acme.types", "shared.errors"}


def test_a_line_of_a_report_is_one_line():
    body = b'{"message":"a",\n"fields":{}}'
    [report] = read_reports(pickle.dumps([(None, None, [Line(1.0, body)], [])]))
    assert b"\n" not in report.lines[0].body


def test_reports_as_children_send_them_are_read():
    sent = [(None, (1, "x"), [GOOD], []), (3, None, [], [b'"a"', b"1"])]
    assert read_reports(pickle.dumps(sent)) == [(None, (1.0, "x"), [GOOD], []), (3, None, [], ["a", 1])]
    assert read_reports(pickle.dumps([])) == []
    with pytest.raises(ProtocolError):
        read_reports(b"")
    with pytest.raises(ProtocolError):
        read_reports(pickle.dumps([(-1, None, [], [])]))
