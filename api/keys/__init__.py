"""API keys: their form, their scopes, and the set of keys that the API accepts."""
