"""The command line, `python -m client`: arguments, commands, the display of a job, and standard streams."""
