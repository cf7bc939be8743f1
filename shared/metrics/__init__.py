"""Metrics in Prometheus' format: cells of numbers, series on them, and the text of a scrape."""
