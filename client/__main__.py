"""`python -m client`: the job server on the command line."""

from client.command_line import main

if __name__ == "__main__":
    raise SystemExit(main())
