"""Arguments of the command line: the parser with its commands and options."""

import os
from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence

from client.command_line.values import (
    filled_text,
    header_text,
    label,
    param,
    params,
    point_in_time,
    positive_number,
    seconds,
    server_url,
    text,
    whole_number,
)
from client.transport import DEFAULT_URL

AddParser = Callable[..., ArgumentParser]
STATES = ("pending", "running", "completed", "failed", "cancelled")
EPILOG = """\
exit codes:
  0    success; with --watch or --wait: the job is completed
  1    the job failed or was cancelled; or you answered a question with no
  2    wrong arguments or environment, or a file that can't be read or written
  3    the server refused, or did not answer in time
  130  interrupted; a submitted job goes on
"""


def parse(arguments: Sequence[str] | None) -> Namespace:
    """Parse the arguments; the attribute `command` of the namespace is the name of the command.

    Raises:
        SystemExit: with code 2 for wrong arguments, with 0 after --help.
    """
    return _parser().parse_args(arguments)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "python -m client",
        parents=[_connection()],
        description="Submit jobs to a job server, follow them to their results, operate its queues.",
        epilog=EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(
        url=os.environ.get("JOB_SERVER_URL") or DEFAULT_URL,
        key=os.environ.get("JOB_SERVER_KEY") or None,
    )
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    for name, (summary, add_arguments) in SUBPARSERS.items():
        add_arguments(_add_command(commands.add_parser, name, summary))
    return parser


def _add_command(add_parser: AddParser, name: str, summary: str) -> ArgumentParser:
    description = f"{summary[0].upper()}{summary[1:]}."
    parents = [_connection()]
    return add_parser(name, parents=parents, help=summary, description=description, allow_abbrev=False)


def _connection() -> ArgumentParser:
    """Options before or after the command; a new parser at each call, because each has its own defaults."""
    connection = ArgumentParser(add_help=False, argument_default=SUPPRESS)
    add = connection.add_argument
    add("--url", type=server_url, help=f"the server; JOB_SERVER_URL unless given, or {DEFAULT_URL}")
    add(
        "--key",
        type=header_text,
        help="the API key; JOB_SERVER_KEY unless given, which others can't see",
    )
    return connection


def _add_submit(command: ArgumentParser) -> None:
    add = command.add_argument
    add("type", type=text, metavar="TYPE", help="the job type")
    add(
        "--param",
        type=param,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one of the params, JSON if possible, else text; @FILE for the text of a file, @- for stdin",
    )
    add("--params", type=params, default={}, metavar="JSON", help="all params, as an object; or @FILE")
    add(
        "--label",
        type=label,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a label to find the job by",
    )
    start = command.add_mutually_exclusive_group()
    start.add_argument("--delay", type=seconds, metavar="S", help="start the job in S seconds")
    start.add_argument(
        "--run-at",
        type=point_in_time,
        metavar="TIME",
        help="start the job then: 2026-01-01T12:00:00Z; local time without a zone",
    )
    add("--start-within", type=seconds, metavar="S", help="fail the job unless it starts in S seconds")
    add("--webhook", type=text, metavar="URL", help="POST the record there when the job is done")
    add(
        "--idempotency-key",
        type=header_text,
        metavar="KEY",
        help="a second submission with the same key is the same job",
    )
    _add_following(command)


def _add_following(command: ArgumentParser) -> None:
    following = command.add_mutually_exclusive_group()
    following.add_argument(
        "--watch",
        action="store_true",
        help="show the job's progress, log and output, then print its result",
    )
    following.add_argument(
        "--output", action="store_true", help="print the job's output as it comes, in place of its result"
    )
    following.add_argument("--wait", type=seconds, metavar="S", help="wait S seconds for the job's result")


def _add_id(command: ArgumentParser) -> None:
    command.add_argument("job_id", type=text, metavar="ID", help="the id of the job")


def _add_ids(command: ArgumentParser) -> None:
    command.add_argument("job_ids", type=filled_text, nargs="+", metavar="ID", help="the id of a job")


def _add_attempts(command: ArgumentParser) -> None:
    _add_id(command)
    _add_json(command)


def _add_json(command: ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="for programs: print one object a line")


def _add_bulk(command: ArgumentParser) -> None:
    """Ids of jobs, or filters with the options of a change of many jobs."""
    add = command.add_argument
    add("job_ids", type=filled_text, nargs="*", metavar="ID", help="the id of a job; filters need none")
    _add_filters(command)
    add("--dry-run", action="store_true", help="with filters: show the number of jobs, change nothing")
    _add_yes(command)


def _add_yes(command: ArgumentParser) -> None:
    command.add_argument(
        "--yes", action="store_true", help="do not ask first; needed where nobody can answer"
    )


def _add_retry(command: ArgumentParser) -> None:
    _add_bulk(command)
    command.add_argument(
        "--idempotency-key",
        type=header_text,
        metavar="KEY",
        help="a second retry with the same key makes no second job",
    )
    _add_following(command)


def _add_filters(command: ArgumentParser) -> None:
    add = command.add_argument_group("filters", "A job must fit all that are given.").add_argument
    add("--state", choices=STATES, metavar="STATE", help=f"only jobs in this state: {', '.join(STATES)}")
    add("--type", type=filled_text, metavar="TYPE", help="only jobs of this type")
    add("--queue", type=filled_text, metavar="QUEUE", help="only jobs of this queue")
    add(
        "--label",
        type=label,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="only jobs with this label",
    )
    add("--caller", type=filled_text, metavar="CALLER", help="only jobs that this caller submitted")
    add(
        "--created-after",
        type=point_in_time,
        metavar="TIME",
        help="only jobs created then or later: 2026-01-01T12:00:00Z; local time without a zone",
    )
    add("--created-before", type=point_in_time, metavar="TIME", help="only jobs created before")


def _add_list(command: ArgumentParser) -> None:
    _add_filters(command)
    add = command.add_argument
    add("--limit", type=positive_number, default=20, metavar="N", help="at most N jobs (20)")
    add("--json", action="store_true", help="print the records, one a line")


def _add_logs(command: ArgumentParser) -> None:
    _add_id(command)
    add = command.add_argument
    add("--follow", action="store_true", help="print later lines too, until the job is done")
    add("--after", type=whole_number, default=0, metavar="N", help="only lines after the line N")
    _add_json(command)


def _add_upload(command: ArgumentParser) -> None:
    add = command.add_argument
    add("file", metavar="FILE", help="the file, or - for standard input")
    add("--name", type=text, help="the file's name; its name here unless given")
    add(
        "--content-type",
        type=header_text,
        metavar="TYPE",
        help="the media type; guessed from the name unless given",
    )


def _add_download(command: ArgumentParser) -> None:
    _add_id(command)
    add = command.add_argument
    add("name", type=text, metavar="NAME", help="the name of the artifact")
    add(
        "--to", default=".", metavar="PATH", help="where to save the artifact: a file, or a folder (this one)"
    )


def _add_queue(command: ArgumentParser) -> None:
    actions = command.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    for name, summary in QUEUE_ACTIONS.items():
        action = _add_command(actions.add_parser, name, summary)
        if name != "list":
            action.add_argument("name", type=filled_text, metavar="NAME", help="the name of the queue")
        if name in ("list", "show"):
            _add_json(action)
        if name == "pause":
            action.add_argument("--reason", type=text, default="", help="shown with the queue")
        if name == "drain":
            _add_yes(action)


QUEUE_ACTIONS = {
    "list": "show all queues",
    "show": "show one queue",
    "pause": "stop the claims from a queue; running jobs go on",
    "resume": "end a pause",
    "drain": "cancel all jobs that wait in a queue; running jobs go on",
}
SUBPARSERS: dict[str, tuple[str, Callable[[ArgumentParser], None]]] = {
    "submit": ("submit a job", _add_submit),
    "get": ("print the record of a job", _add_id),
    "list": ("list jobs, newest first", _add_list),
    "cancel": ("cancel jobs: some, or all that match filters", _add_bulk),
    "retry": ("submit finished jobs again: some, or all that match filters", _add_retry),
    "attempts": ("show the attempts at a job", _add_attempts),
    "logs": ("print the log of a job", _add_logs),
    "output": ("print the output of a job as it comes", _add_id),
    "forget": ("delete the records and files of finished jobs", _add_ids),
    "upload": ("upload a file for jobs; prints its id", _add_upload),
    "download": ("save an artifact of a job", _add_download),
    "queue": ("show queues, pause, resume and drain them", _add_queue),
    "workers": ("show the workers", _add_json),
}
