"""Job types: one folder each, with a contract for both processes and a handler for the worker."""
