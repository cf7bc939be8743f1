"""The job type `echo`."""
