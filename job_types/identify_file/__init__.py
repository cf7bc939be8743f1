"""The job type `identify_file`."""
