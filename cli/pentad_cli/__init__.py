"""The `pentad` command: start a suite, apply agents, run them, watch and explain what happened."""
