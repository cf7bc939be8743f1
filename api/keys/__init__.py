"""API keys: their form, their scopes, and the set that the API accepts."""
