"""The tools service: runs tool calls and keeps the effect ledger."""
