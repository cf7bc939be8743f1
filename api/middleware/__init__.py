"""ASGI layers that every request passes, around the framework."""
