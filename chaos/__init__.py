"""The fault suite: what breaks in production, broken here on purpose. `python -m chaos` runs it."""
