"""The commands of the command line, and their exit codes."""

import errno
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence

import httpx

from client.client import Client
from client.command_line import bulk, queues, standard_streams
from client.command_line.arguments import parse
from client.command_line.display import display, log_line, new_run_line
from client.command_line.questions import Declined, Unusable
from client.command_line.standard_streams import as_json, note_missing_jobs, print_all, print_error
from client.command_line.tables import attempts_table, jobs_table, workers_table
from client.errors import JobFailed, JobServerError
from client.models.jobs import Job
from client.models.logs import LogLine

NEXT_STEPS = {
    errno.EBADF: "Open it, or redirect it to a file or to /dev/null.",
    errno.ENOSPC: "Free some space, or choose another disk.",
    errno.EDQUOT: "Free some space, or choose another disk.",
}
CHECK_NAME = "Check the file's name, and the rights to it."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns one of the exit codes that `--help` explains."""
    try:
        standard_streams.prepare()
        options = parse(arguments)
        with connect(options) as client:
            COMMANDS[options.command](client, options)
        sys.stdout.flush()
    except JobServerError as error:
        print_error(str(error))
        return 1 if isinstance(error, JobFailed) else 3
    except KeyboardInterrupt as interrupt:
        print_error(interrupt.args[0] if interrupt.args else "Interrupted.")
        return 130
    except BrokenPipeError:  # the reader of the output has enough
        return 0
    except OSError as error:
        print_error(f"{error}. {NEXT_STEPS.get(error.errno or 0, CHECK_NAME)}")
        return 2
    except Unusable as error:
        print_error(str(error))
        return 2
    except Declined as answer:
        print_error(str(answer))
        return 1
    except RecursionError:  # the limit differs between reading and writing, and between Pythons
        print_error("The params are nested too deeply. Send them flatter, or as a file.")
        return 2
    finally:
        standard_streams.flush_or_drop()
    return 0


def connect(options: Namespace) -> Client:
    """Open a client of the server in the options.

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
    print_submitted(client, job, options)


def retry(client: Client, options: Namespace) -> None:
    filters = bulk.selected(options)
    if len(options.job_ids) == 1:
        job = client.retry(options.job_ids[0], idempotency_key=options.idempotency_key)
        print_submitted(client, job, options)
    elif options.watch or options.output or options.wait is not None:
        raise Unusable("--watch, --output and --wait follow one job. Name it by its id, or leave them out.")
    else:
        bulk.retry(client, options, filters)


def get(client: Client, options: Namespace) -> None:
    print(as_json(client.get(options.job_id).raw, indent=2))


def list_jobs(client: Client, options: Namespace) -> None:
    incomplete = False

    def found() -> Iterator[Job]:
        nonlocal incomplete
        for page in client.iter_pages(limit=options.limit, **bulk.filters_of(options)):
            incomplete |= page.incomplete
            yield from page.jobs

    print_all((as_json(job.raw) for job in found()) if options.json else jobs_table(found()))
    if incomplete:
        note_missing_jobs()


def attempts(client: Client, options: Namespace) -> None:
    found = client.attempts(options.job_id)
    print_all((as_json(attempt.raw) for attempt in found) if options.json else attempts_table(found))


def workers(client: Client, options: Namespace) -> None:
    found = client.workers()
    print_all((as_json(worker.raw) for worker in found) if options.json else workers_table(found))
    if found.incomplete:
        note_missing_jobs()


def logs(client: Client, options: Namespace) -> None:
    for line in _log_lines(client, options):
        print(as_json(line.raw) if options.json else log_line(line), flush=True)


def _log_lines(client: Client, options: Namespace) -> Iterator[LogLine]:
    """Yield the lines so far; with --follow, also the later ones until the job is done."""
    if not options.follow:
        yield from client.logs(options.job_id, options.after)
        return
    for item in client.follow(options.job_id):
        if isinstance(item, LogLine) and item.seq > options.after:
            yield item


def output(client: Client, options: Namespace) -> None:
    print_output(client, options.job_id)


def print_output(client: Client, job: Job | str) -> None:
    """Print the output of a job as it comes; a note on standard error tells of a new run.

    Raises:
        JobFailed: the job failed or was cancelled.
    """
    run = 0
    for chunk in client.output(job):
        if run and chunk.run != run:
            print(flush=True)
            print_error(new_run_line(chunk))
        run = chunk.run
        print(chunk, end="" if isinstance(chunk.value, str) else "\n", flush=True)
    print(flush=True)
    client.wait(job, raise_on_failure=True)


def upload(client: Client, options: Namespace) -> None:
    source = standard_streams.standard_input() if options.file == "-" else options.file
    print(client.upload(source, options.name, options.content_type).file_id)


def download(client: Client, options: Namespace) -> None:
    print(client.download(options.job_id, options.name, options.to))


def print_submitted(client: Client, job: Job, options: Namespace) -> None:
    """Print the output or the result of a submitted job, as the options say; else its id."""
    try:
        if options.output:
            print_output(client, job)
            return
        if not options.watch and options.wait is None:
            _print_of_job(job, job.job_id)
            return
        if options.watch:
            job = watch(client, job)
        _print_of_job(job, as_json(client.result(job, options.wait), indent=2))
    except KeyboardInterrupt:
        message = f"The job {job.job_id} goes on; `python -m client get {job.job_id}` shows how far it is."
        raise KeyboardInterrupt(message) from None


def watch(client: Client, job: Job) -> Job:
    """Show changes, log lines and output of a job on standard error; returns the job at its end."""
    with display(sys.stderr) as show:
        show(job)
        for item in client.watch(job):
            show(item)
            job = item if isinstance(item, Job) else job
    return job


def _print_of_job(job: Job, text: str) -> None:
    """Print the id or the result of a submitted job.

    Raises:
        Unusable: standard output can't be written to; the message names the job, so that nothing is lost.
    """
    try:
        print(text, flush=True)
    except OSError as error:
        raise Unusable(
            f"Standard output can't be written to ({error.strerror}). The job is {job.job_id}; "
            f"`python -m client get {job.job_id}` shows what became of it."
        ) from None


COMMANDS: dict[str, Callable[[Client, Namespace], None]] = {
    "submit": submit,
    "get": get,
    "list": list_jobs,
    "cancel": bulk.cancel,
    "retry": retry,
    "attempts": attempts,
    "logs": logs,
    "output": output,
    "forget": bulk.forget,
    "upload": upload,
    "download": download,
    "queue": queues.run,
    "workers": workers,
}
