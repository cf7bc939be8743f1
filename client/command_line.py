"""What each command does, and the exit code that tells how it went."""

import errno
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx

from client import standard_streams
from client.arguments import parse
from client.errors import JobFailed, JobServerError
from client.faces import Client
from client.job import Job
from client.records import LogLine
from client.standard_streams import as_json, say
from client.views import log_line, table
from client.watching import display

ADVICE = {
    errno.EBADF: "Open it, or redirect it to a file or to /dev/null.",
    errno.ENOSPC: "Free some space, or choose another disk.",
    errno.EDQUOT: "Free some space, or choose another disk.",
}
LOOK_AT_NAME = "Check the file's name, and the rights to it."


class Unusable(Exception):
    """Something that the command needs can't be used; the text says what, and what to do next."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code that `--help` explains."""
    try:
        standard_streams.prepare()
        options = parse(arguments)
        with connect(options) as client:
            COMMANDS[options.command](client, options)
        sys.stdout.flush()
    except JobServerError as error:
        say(str(error))
        return 1 if isinstance(error, JobFailed) else 3
    except KeyboardInterrupt as interrupt:
        say(interrupt.args[0] if interrupt.args else "Interrupted.")
        return 130
    except BrokenPipeError:  # the reader of the output has enough
        return 0
    except OSError as error:
        say(f"{error}. {ADVICE.get(error.errno or 0, LOOK_AT_NAME)}")
        return 2
    except Unusable as error:
        say(str(error))
        return 2
    except RecursionError:  # the limit differs between reading and writing, and between Pythons
        say("The params are nested too deeply. Send them flatter, or as a file.")
        return 2
    finally:
        standard_streams.settle()
    return 0


def connect(options: Namespace) -> Client:
    """The client of the server that is named.

    Raises:
        Unusable: the environment names a proxy, or certificates, that can't be used.
    """
    try:
        return Client(options.url, options.key)
    except (ValueError, ImportError, httpx.InvalidURL):
        names = sorted(name for name in os.environ if name.lower().endswith("_proxy"))
        raise Unusable(
            f"The environment names a proxy that can't be used. Correct or unset {', '.join(names)}; a SOCKS "
            "proxy is written socks5://HOST:PORT, and needs the package httpx[socks]."
        ) from None
    except OSError as error:
        raise Unusable(
            f"The certificates can't be read ({error}). Correct or unset SSL_CERT_FILE and SSL_CERT_DIR."
        ) from None


def submit(client: Client, options: Namespace) -> None:
    job = client.submit(
        options.type,
        options.params | dict(options.param),
        run_at=options.run_at,
        delay=options.delay,
        start_within=options.start_within,
        labels=dict(options.label) or None,
        webhook=options.webhook,
        idempotency_key=options.idempotency_key,
    )
    follow(client, job, options)


def retry(client: Client, options: Namespace) -> None:
    follow(client, client.retry(options.job_id), options)


def get(client: Client, options: Namespace) -> None:
    print_json(client.get(options.job_id).raw)


def cancel(client: Client, options: Namespace) -> None:
    job = client.cancel(options.job_id)
    print(f"{job.job_id} is cancelled." if job.done else f"{job.job_id} is being cancelled.")


def logs(client: Client, options: Namespace) -> None:
    for line in log_lines(client, options):
        print(as_json(line.raw) if options.json else log_line(line), flush=True)


def log_lines(client: Client, options: Namespace) -> Iterator[LogLine]:
    """The lines that are asked for; those to come too, if it is to be followed."""
    if not options.follow:
        yield from client.logs(options.job_id, options.after)
        return
    for news in client.follow(options.job_id):
        if isinstance(news, LogLine) and news.seq > options.after:
            yield news


def upload(client: Client, options: Namespace) -> None:
    source = standard_streams.standard_input() if options.file == "-" else options.file
    print(client.upload(source, options.name, options.content_type).file_id)


def download(client: Client, options: Namespace) -> None:
    print(client.download(options.job_id, options.name, options.to))


def list_jobs(client: Client, options: Namespace) -> None:
    jobs = client.iter_jobs(
        state=options.state, type=options.type, label=dict(options.label), limit=options.limit
    )
    lines = (as_json(job.raw) for job in jobs) if options.json else table(jobs)
    for line in lines:
        print(line)


def follow(client: Client, job: Job, options: Namespace) -> None:
    """Print the result of a job that was just submitted, if that is asked for, or else its id."""
    try:
        if not options.watch and options.wait is None:
            hand_over(job, job.job_id)
            return
        if options.watch:
            job = watch(client, job)
        hand_over(job, as_json(client.result(job, options.wait), indent=2))
    except KeyboardInterrupt:
        message = f"The job {job.job_id} goes on; `python -m client get {job.job_id}` shows how far it is."
        raise KeyboardInterrupt(message) from None


def hand_over(job: Job, text: str) -> None:
    """Print the id or the result of a submitted job.

    Raises:
        Unusable: it can't be printed; the message names the job, so that nothing is lost.
    """
    try:
        print(text, flush=True)
    except OSError as error:
        raise Unusable(
            f"Standard output can't be written to ({error.strerror}). The job is {job.job_id}; "
            f"`python -m client get {job.job_id}` shows what became of it."
        ) from None


def watch(client: Client, job: Job) -> Job:
    """Show each change of the job and what it logs on standard error; returns it as it ended."""
    with display(sys.stderr) as show:
        show(job)
        for news in client.follow(job):
            show(news)
            job = news if isinstance(news, Job) else job
    return job


def print_json(value: Any) -> None:
    print(as_json(value, indent=2))


COMMANDS: dict[str, Callable[[Client, Namespace], None]] = {
    "submit": submit,
    "get": get,
    "list": list_jobs,
    "cancel": cancel,
    "retry": retry,
    "logs": logs,
    "upload": upload,
    "download": download,
}
