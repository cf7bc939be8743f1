"""Child processes, in which handlers run CPU-bound functions."""
