"""Delivers webhooks: tells the addresses that submissions named that their jobs have ended."""
