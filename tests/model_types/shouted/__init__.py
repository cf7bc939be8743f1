"""The job type `shouted`."""
