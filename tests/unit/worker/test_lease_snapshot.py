"""A snapshot is read as it was written, whatever happens to its writer."""
