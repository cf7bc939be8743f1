"""What each command does, and the exit code that tells how it went."""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from client.arguments import parse
from client.errors import JobFailed, JobServerError
from client.faces import Client
from client.job import Job
from client.records import LogLine
from client.views import log_line, printable, table
from client.watching import display


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code that `--help` explains."""
    options = parse(arguments)
    try:
        with Client(options.url, options.key) as client:
            COMMANDS[options.command](client, options)
        sys.stdout.flush()
    except JobServerError as error:
        print(printable(str(error)), file=sys.stderr)
        return 1 if isinstance(error, JobFailed) else 3
    except KeyboardInterrupt as interrupt:
        print(interrupt.args[0] if interrupt.args else "Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output has enough; Python must not try to flush the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"{printable(str(error))}. Check the file's name, and the rights to it.", file=sys.stderr)
        return 2
    return 0


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
        print(json.dumps(line.raw, ensure_ascii=False) if options.json else log_line(line), flush=True)


def log_lines(client: Client, options: Namespace) -> Iterator[LogLine]:
    """The lines that are asked for; those to come too, if it is to be followed."""
    if not options.follow:
        yield from client.logs(options.job_id, options.after)
        return
    for news in client.follow(options.job_id):
        if isinstance(news, LogLine) and news.seq > options.after:
            yield news


def upload(client: Client, options: Namespace) -> None:
    source = sys.stdin.buffer if options.file == "-" else options.file
    print(client.upload(source, options.name, options.content_type).file_id)


def download(client: Client, options: Namespace) -> None:
    print(client.download(options.job_id, options.name, options.to))


def list_jobs(client: Client, options: Namespace) -> None:
    jobs = client.iter_jobs(
        state=options.state, type=options.type, label=dict(options.label), limit=options.limit
    )
    lines = (json.dumps(job.raw, ensure_ascii=False) for job in jobs) if options.json else table(jobs)
    for line in lines:
        print(line)


def follow(client: Client, job: Job, options: Namespace) -> None:
    """Print the result of a job that was just submitted, if that is asked for, or else its id."""
    if not options.watch and options.wait is None:
        print(job.job_id)
        return
    try:
        if options.watch:
            job = watch(client, job)
        print_json(client.result(job, options.wait))
    except KeyboardInterrupt:
        message = f"The job {job.job_id} goes on; `python -m client get {job.job_id}` shows how far it is."
        raise KeyboardInterrupt(message) from None


def watch(client: Client, job: Job) -> Job:
    """Show each change of the job and what it logs on standard error; returns it as it ended."""
    with display(sys.stderr) as show:
        show(job)
        for news in client.follow(job):
            show(news)
            job = news if isinstance(news, Job) else job
    return job


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


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
