"""What a simple run costs, beside the least that gRPC in Python could do it for."""

import pentad_chassis  # noqa: F401 - it must come before grpc, which it configures
