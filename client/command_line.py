"""What each command does, and the exit code that tells how it went."""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

from client.arguments import parse
from client.errors import JobFailed, JobServerError
from client.faces import Client
from client.job import Job
from client.views import printable, table
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
    """Show each change of the job on standard error; returns it as it ended."""
    with display(sys.stderr) as show:
        show(job)
        for change in client.stream(job):
            job = change
            show(job)
    return job


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


COMMANDS: dict[str, Callable[[Client, Namespace], None]] = {
    "submit": submit,
    "get": get,
    "list": list_jobs,
    "cancel": cancel,
    "retry": retry,
}
