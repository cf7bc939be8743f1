"""The command `queue`: list, show, pause, resume, drain."""

from argparse import Namespace
from collections.abc import Callable

from client.client import Client
from client.command_line.questions import ask, require_terminal
from client.command_line.standard_streams import as_json, note_missing_jobs, print_all, print_error
from client.command_line.tables import counted, pause_text, queue_lines, queues_table
from client.models.queues import QueueStatus


def run(client: Client, options: Namespace) -> None:
    ACTIONS[options.action](client, options)


def list_queues(client: Client, options: Namespace) -> None:
    queues = client.queues()
    print_all((as_json(queue.raw) for queue in queues) if options.json else queues_table(queues))
    _note(*queues)


def show(client: Client, options: Namespace) -> None:
    queue = client.queue(options.name)
    print_all([as_json(queue.raw)] if options.json else queue_lines(queue))
    _note(queue)


def pause(client: Client, options: Namespace) -> None:
    queue = client.pause(options.name, options.reason)
    since = f" {pause_text(queue.pause)}" if queue.pause else ""
    print(f"{queue.name} is paused{since}.")


def resume(client: Client, options: Namespace) -> None:
    print(f"{client.resume(options.name).name} is not paused.")


def drain(client: Client, options: Namespace) -> None:
    if not options.yes:
        require_terminal("Add --yes to cancel all jobs that wait in the queue.")
        queue = client.queue(options.name)
        _note(queue)
        waiting = queue.ready + queue.scheduled
        if not waiting:
            print(f"No job waits in {queue.name}.")
            return
        ask(f"Cancel {counted(waiting, 'waiting job')} of {queue.name}?")
    drained = client.drain(options.name)
    print(f"{counted(drained.cancelled, 'job')} cancelled.")
    if drained.remaining:
        waits = "waits" if drained.remaining == 1 else "wait"
        print_error(f"{counted(drained.remaining, 'job')} still {waits}. Stop the senders, and drain again.")


def _note(*queues: QueueStatus) -> None:
    """Say so if jobs are missing in the numbers of a queue."""
    if any(queue.incomplete for queue in queues):
        note_missing_jobs()


ACTIONS: dict[str, Callable[[Client, Namespace], None]] = {
    "list": list_queues,
    "show": show,
    "pause": pause,
    "resume": resume,
    "drain": drain,
}
