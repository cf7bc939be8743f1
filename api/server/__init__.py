"""The HTTP server: its limits, its connections and its shutdown."""
