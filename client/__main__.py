"""Start of the command line, `python -m client`."""

import signal
import sys
from importlib.util import find_spec


def start() -> int:
    """Import and run the command line, without a traceback if httpx is missing or Ctrl-C comes early."""
    if find_spec("httpx") is None:
        print(f"{sys.executable} has no httpx. Install it with `pip install httpx`.", file=sys.stderr)
        return 2
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # shells let background jobs ignore it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from client.command_line.commands import main

    signal.signal(signal.SIGINT, handler)
    return main()


if __name__ == "__main__":
    raise SystemExit(start())
