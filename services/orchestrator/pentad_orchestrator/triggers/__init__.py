"""Triggers: runs for what is published, one for each event."""
