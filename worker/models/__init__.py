"""Model hosts: processes that load a model once, and run batches of jobs with it."""
