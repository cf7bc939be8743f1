"""The job type `sleep`."""
