"""What the API and the worker must agree on, and nothing else."""

VERSION = "0.1.0"
