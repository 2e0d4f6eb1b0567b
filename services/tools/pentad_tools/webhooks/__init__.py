"""Webhooks: notices of what became of runs, signed, in order, delivered at least once."""
