"""Job types of the comparison: each model with batches, with batches of one, and in child processes."""
