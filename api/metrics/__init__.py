"""Metrics of the API, as Prometheus scrapes them."""
