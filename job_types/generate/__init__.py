"""The job type `generate`."""
