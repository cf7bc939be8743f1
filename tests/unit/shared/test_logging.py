"""Log lines of a process, all in one form. Each test runs its own process."""

import re
from datetime import datetime

import orjson
import pytest

from tests.unit.shared.log_program import lines, output

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")

FAIL = """
def fail():
    a_local = "hunter" + "2"
    raise ValueError("no")
def caught(log):
    try:
        fail()
    except ValueError:
        log("it broke", exc_info=True)
"""


def test_a_line_is_one_object_with_time_level_event_and_fields():
    (line,) = lines("log.info('job started', attempt=1, note='two\\nlines')")
    moment = datetime.fromisoformat(line.pop("time"))
    assert moment.utcoffset() is not None
    assert abs((datetime.now(moment.tzinfo) - moment).total_seconds()) < 60
    assert line == {
        "level": "info",
        "event": "job started",
        "source": "a.module",
        "attempt": 1,
        "note": "two\nlines",
    }


def test_the_fields_of_the_context_are_in_every_line_and_the_lines_own_win():
    first, second, third = lines("""
log.info("before")
log_context.set({"request_id": "r", "attempt": 1})
log.info("within", attempt=2)
logging.getLogger("foreign").warning("from a library")
""")
    assert "request_id" not in first
    assert (second["request_id"], second["attempt"]) == ("r", 2)
    assert (third["request_id"], third["attempt"]) == ("r", 1)


def test_lines_of_libraries_come_out_in_the_same_form():
    found = lines("""
logging.getLogger("arq.worker").warning("%d jobs", 3)
logging.getLogger("uvicorn.error").info("Started server process [%d]", 5)
logging.getLogger("uvicorn").error("bad")
logging.getLogger().warning("from nobody")
warnings.warn("this is old", DeprecationWarning)
""")
    assert [(line["level"], line["event"], line["logger"]) for line in found[:4]] == [
        ("warning", "3 jobs", "arq.worker"),
        ("info", "Started server process [5]", "uvicorn.error"),
        ("error", "bad", "uvicorn"),
        ("warning", "from nobody", "root"),
    ]
    assert "this is old" in found[4]["event"]
    assert found[4]["logger"] == "py.warnings"
    assert all(datetime.fromisoformat(line["time"]).utcoffset() is not None for line in found)


def test_uvicorn_does_not_log_requests_a_second_time_and_keeps_no_handlers_of_its_own():
    assert lines("""
import logging.config
from uvicorn.config import LOGGING_CONFIG
logging.config.dictConfig(LOGGING_CONFIG)
configure_logging(level="INFO", form="json")
logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "1.2.3.4", "GET", "/jobs", "1.1", 200)
""") == []  # fmt: skip


def test_what_uvicorn_logs_after_its_own_configuration_comes_out_once():
    (line,) = lines("""
import logging.config
from uvicorn.config import LOGGING_CONFIG
logging.config.dictConfig(LOGGING_CONFIG)
configure_logging(level="INFO", form="json")
logging.getLogger("uvicorn.error").warning("hear this")
""")
    assert (line["event"], line["logger"]) == ("hear this", "uvicorn.error")


@pytest.mark.parametrize("logger", ["log.error", "logging.getLogger('arq').error"])
def test_an_exception_is_one_line_with_its_traceback_and_without_local_variables(logger: str):
    (line,) = lines(f"{FAIL}\ncaught({logger})")
    assert line["event"] == "it broke"
    assert line["exception"].startswith("Traceback (most recent call last):")
    assert line["exception"].endswith("ValueError: no")
    assert "in fail" in line["exception"]
    assert "hunter2" not in orjson.dumps(line).decode()


def test_an_exception_can_be_given_as_a_value():
    (line,) = lines("log.error('it broke', exc_info=KeyError('k'))")
    assert line["exception"] == "KeyError: 'k'"


@pytest.mark.parametrize("logger", ["log.error", "logging.getLogger('arq').error"])
def test_an_exception_on_the_console_shows_no_local_variables_either(logger: str):
    text = ESCAPES.sub("", output(f"{FAIL}\ncaught({logger})", form="console"))
    assert "ValueError: no" in text
    assert "in fail" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "value",
    ["'a \\udcff b'", "2**70", "object()", "{1: 'x'}", "b'bytes'", "{1, 2}", "float('nan')"],
    ids=["beyond UTF-8", "a big number", "an object", "a key that is no text", "bytes", "a set", "nan"],
)
def test_a_value_that_json_lacks_makes_a_line_all_the_same(value: str):
    (line,) = lines(f"log.info('odd', value={value})")
    assert line["event"] == "odd"
    assert "value" in line


def test_a_library_may_log_text_that_utf8_can_not_carry():
    (line,) = lines("logging.getLogger('arq').warning('a \\udcff b')")
    assert line["level"] == "warning"


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("DEBUG", ["debug", "info", "warning", "error"]),
        ("INFO", ["info", "warning", "error"]),
        ("WARNING", ["warning", "error"]),
        ("ERROR", ["error"]),
    ],
)
def test_only_what_is_severe_enough_is_logged(level: str, shown: list[str]):
    found = lines(
        """
foreign = logging.getLogger("foreign")
for logger in (log, foreign):
    for name in ("debug", "info", "warning", "error"):
        getattr(logger, name)("a line")
""",
        level=level,
    )
    assert [line["level"] for line in found] == shown * 2


def test_the_console_shows_lines_for_people():
    text = output(
        """
log_context.set({"request_id": "r-1"})
log.info("job started", attempt=1)
logging.getLogger("arq").warning("from a library")
log.debug("not shown")
""",
        form="console",
    )
    first, second = text.splitlines()
    assert "\x1b" not in text  # no colours without a terminal
    assert re.match(r"\d{4}-\d\d-\d\dT\S+Z \[info +\] job started +", first)
    assert "attempt=1" in first
    assert "request_id=r-1" in first
    assert re.match(r"\d{4}-\d\d-\d\dT\S+Z \[warning +\] from a library +", second)


def test_the_console_shows_control_characters_as_escapes():
    text = output(
        r"""
odd = "a\x1b[2Jb\r\nc\x07\x9b\x7f\u2028\u202ed"
log_context.set({"request_id": odd})
log.info(odd, path=odd, several=[odd])
logging.getLogger("arq").warning("%s", odd)
""",
        form="console",
    )
    assert len(text.splitlines()) == 2
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    assert text.count(r"a\x1b[2Jb\r\nc\x07\x9b\x7f\u2028\u202ed") >= 5


@pytest.mark.parametrize("logger", ["log", "logging.getLogger('arq')"])
def test_the_message_of_an_exception_looks_like_no_line_on_the_console(logger: str):
    text = output(
        rf"""
try:
    raise ValueError("no\n2026-01-01T00:00:00Z [info] forged \x1b[2J")
except ValueError:
    {logger}.exception("it broke")
""",
        form="console",
    )
    first, *rest = text.splitlines()
    assert "it broke" in first
    assert all(line.startswith("  ") for line in rest if line)
    assert any("forged" in line for line in rest)
    assert "\x1b" not in text


def test_lines_of_several_threads_do_not_mix():
    found = lines("""
from concurrent.futures import ThreadPoolExecutor
def write(number):
    for _ in range(50):
        log.info("mine", number=number, filler="x" * 500)
with ThreadPoolExecutor(8) as pool:
    list(pool.map(write, range(8)))
""")
    assert sorted(line["number"] for line in found) == sorted([*range(8)] * 50)


ODD = """
class Odd:
    def __repr__(self):
        raise KeyError("no")
cycle = []
cycle.append(cycle)
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_value_that_can_not_be_shown_makes_a_line_all_the_same(form: str):
    values = ["Odd()", "[Odd()]", "{Odd(): 1}", "{(1, 2): 3}", "cycle", "{'x': {2**70: float('nan')}}"]
    found = output(ODD + "\n".join(f"log.info('odd', value={value})" for value in values), form=form)
    assert ["odd" in line for line in found.splitlines()] == [True] * len(values)
    if form == "json":
        for line in map(orjson.loads, found.splitlines()):
            assert (line["event"], line["source"]) == ("odd", "a.module")
            assert datetime.fromisoformat(line["time"]).utcoffset() is not None


def test_a_record_of_a_library_whose_arguments_do_not_fit_makes_a_line_all_the_same():
    found = lines(f"""{ODD}
for arguments in (("%d jobs", "three"), ("%s", Odd()), ("%s %s", 1)):
    logging.getLogger("arq").warning(*arguments)
""")
    assert [(line["level"], line["logger"]) for line in found] == [("warning", "arq")] * 3
    assert all("do not fit" in line["event"] for line in found)


@pytest.mark.parametrize("logger", ["log.exception", "logging.getLogger('arq').exception"])
def test_a_huge_message_of_an_exception_is_cut_to_its_ends(logger: str):
    (line,) = lines(f"""
try:
    raise ValueError("x" * 5_000_000 + "the end")
except ValueError:
    {logger}("it broke")
""")
    assert len(line["exception"]) <= 20_010
    assert line["exception"].startswith("Traceback (most recent call last):")
    assert line["exception"].endswith("xthe end")
