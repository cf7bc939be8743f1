"""Requests made from the served OpenAPI document: `python -m fuzz`."""
