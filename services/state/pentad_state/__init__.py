"""The state service: every durable fact, on Redis or Valkey."""
