"""Runs of a workflow's graph: what each event makes of one, and what it does next. Pure."""
