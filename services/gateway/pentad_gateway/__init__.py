"""The gateway service: the public API, auth and limits."""
