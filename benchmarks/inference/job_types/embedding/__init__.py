"""Job types of the embedding model."""
