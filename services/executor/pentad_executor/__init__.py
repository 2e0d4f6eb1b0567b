"""The executor service: agent logic and model calls."""
