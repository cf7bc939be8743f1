"""The store beside a reference in plain Python: random calls to both, compared at every step."""
