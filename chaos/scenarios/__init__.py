"""The scenarios: one file each, with a function `run` that returns rows."""
