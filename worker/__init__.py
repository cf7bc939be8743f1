"""Performs work: claims jobs from Redis, runs their handlers, writes every change of state back."""
