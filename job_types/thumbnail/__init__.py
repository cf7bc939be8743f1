"""The job type `thumbnail`."""
