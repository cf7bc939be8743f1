"""Questions before a change of many jobs, and the reasons why a command ends without one."""

import sys


class Unusable(Exception):
    """Arguments, an environment or an output that the command can't use; the text says what to do next."""


class Declined(Exception):
    """A question that the user answered with no."""


def ask(question: str) -> None:
    """Ask on the terminal whether to go on.

    Raises:
        Declined: the answer is not yes.
    """
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Declined("Nothing is changed.")


def require_terminal(alternative: str) -> None:
    """Check that a question can be asked.

    Raises:
        Unusable: there is no terminal; the text names the alternative.
    """
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise Unusable(f"There is no terminal to ask before the change. {alternative}")
