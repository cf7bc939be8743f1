"""Job types for the tests of the dashboard."""
