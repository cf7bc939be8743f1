"""The job type `word_count`."""
