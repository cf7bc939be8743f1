"""`python -m client`: the job server on the command line."""

import sys
from importlib.util import find_spec

if find_spec("httpx") is None:
    print(f"{sys.executable} has no httpx: install it first, with `pip install httpx`.", file=sys.stderr)
    raise SystemExit(2)

try:
    from client.command_line import main
except KeyboardInterrupt:
    raise SystemExit(130) from None

if __name__ == "__main__":
    raise SystemExit(main())
