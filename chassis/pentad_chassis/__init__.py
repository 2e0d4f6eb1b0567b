"""What every Pentad service is built on: configuration, errors, servers, channels, telemetry."""

import os

# grpcio reads this at its first import. Without the event engine 1.82 carries 1.4 times the
# calls and cancels abandoned ones (grpc#43462); see docs/dependencies.md.
os.environ.setdefault(
    "GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener,-event_engine_callback_cq"
)

# Whoever starts a process forks, and gRPC would first wait for all of its own threads, at times for
# ever. It need not: what is forked here becomes another program at once.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
