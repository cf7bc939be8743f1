"""The job type `flaky`."""
