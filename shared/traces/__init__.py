"""Distributed traces: the context of requests and jobs, and the spans of both processes."""
