"""Duties of a worker besides its jobs, one module each."""
