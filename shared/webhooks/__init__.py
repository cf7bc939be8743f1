"""Webhooks by the Standard Webhooks specification: addresses, secrets, signatures, deliveries."""
