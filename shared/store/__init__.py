"""Redis, and nothing but Redis: the keys, the scripts and the connections."""
