"""The job type `csv_profile`."""
