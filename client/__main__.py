"""`python -m client`: the job server on the command line."""

import signal
import sys
from importlib.util import find_spec


def start() -> int:
    """Import the command line, and run it: without httpx, or after Ctrl-C, there is no traceback."""
    if find_spec("httpx") is None:
        print(f"{sys.executable} has no httpx: install it first, with `pip install httpx`.", file=sys.stderr)
        return 2
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # a shell lets what runs in the background ignore it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from client.command_line import main

    signal.signal(signal.SIGINT, handler)
    return main()


if __name__ == "__main__":
    raise SystemExit(start())
