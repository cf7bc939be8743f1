"""Accepts work: HTTP in, records out."""
