"""The command line, `python -m client`: arguments, values, commands, display, standard streams."""
