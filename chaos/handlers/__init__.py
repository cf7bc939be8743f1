"""The job types of the fault suite and their handlers, which `chaos.worker` adds to the real ones."""
