"""Metrics of a worker, as Prometheus scrapes them from WORKER_METRICS_PORT."""
