"""What takes a processor for seconds, or heavy libraries: it runs in the worker's child processes alone.

The handlers import from here inside the functions that they give to `in_process`, so that a worker starts
without these libraries, and holds none of their memory.
"""
