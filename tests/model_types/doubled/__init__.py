"""The job type `doubled`."""
