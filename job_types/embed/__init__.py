"""The job type `embed`."""
