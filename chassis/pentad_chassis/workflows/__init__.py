"""What a workflow's graph is, for whoever checks, runs or draws one. Pure."""
