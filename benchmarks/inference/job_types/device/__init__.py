"""Job types of the simulated device."""
