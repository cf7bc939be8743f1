"""Performs work: claims jobs from Redis, runs their handlers, writes every change of state back."""

from shared.dependencies import require

require("arq", "duckdb", "httpcore", "numpy", "obstore", "PIL", "uvloop")
