"""Samples as a benchmark takes them."""

from bench.load import Sample


def sample(per_s: float = 100.0, p50_ms: float = 2.0, cpu_us: float = 500.0) -> Sample:
    return Sample(
        runs=10,
        per_s=per_s,
        p50_ms=p50_ms,
        p99_ms=2 * p50_ms,
        refused=0.0,
        cpu_us={"client": cpu_us / 5, "gateway": cpu_us * 4 / 5},
    )
