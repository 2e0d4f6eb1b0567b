"""A result as the Markdown that goes into the documentation."""

from collections.abc import Callable, Iterator

from bench.load import Sample
from bench.results import Cell, Measure, Results
from bench.stage import SUBJECTS
from bench.work import TOKENS, Work

_NONE = "-"


def tables(results: Results) -> Iterator[str]:
    """Yield every table, with the lines around it."""
    yield _heading(results)
    for work in results.works:
        yield from ("", f"### {work.heading}", "")
        yield from _throughput(results, work)
        yield ""
        yield from _latency(results, work)
        yield from _refusals(results, work)
    yield from ("", "### Processor time by process", "")
    yield from _by_process(results)
    for subject in SUBJECTS:
        if subject in results.systems:
            yield from ("", f"### {subject}, beside the others", "")
            yield from _standing(results, subject)
    yield from ("", "### Memory, and what idleness costs", "")
    yield from _held(results)


def _heading(results: Results) -> str:
    machine, settings = results.about["machine"], results.about["settings"]
    return (
        f"Medians of rounds ({len(results.rounds)}) of {settings['seconds']:g} s for each "
        f"turn. Commit {results.about['commit'][:12]}, {machine['cores']} cores "
        f"({machine['processor']}), load average {machine['load_average']:.1f} before the start, "
        f"Python {machine['python']}, grpcio {machine['grpcio']}. In brackets the ratio to "
        f"{results.systems[0]}."
    )


def _throughput(results: Results, work: Work) -> Iterator[str]:
    """Yield how much each system gets done, and at what cost when it does most."""
    of_stream = work is Work.STREAM
    unit, times = ("tokens/s", len(TOKENS)) if of_stream else ("runs/s", 1)
    yield _row(f"{unit}, in flight:", *map(str, results.concurrency), "CPU µs/run at the most")
    yield _rule(len(results.concurrency) + 2)
    for system in results.able(work):
        rates = [
            _cell(results, Cell(work, in_flight, system), lambda s: s.per_s * times, "{:,.0f}")
            for in_flight in results.concurrency
        ]
        yield _row(system, *rates, _cost(results, work, system))


def _cost(results: Results, work: Work, system: str) -> str:
    own, first = (results.busiest(work, name) for name in (system, results.systems[0]))
    if own is None:
        return _NONE
    cost = f"{results.median(own, _cpu_us) or 0:,.0f}"
    ratio = results.ratio(own, first, _cpu_us) if first and system != results.systems[0] else None
    return cost if ratio is None else f"{cost} ({ratio:.2f}x)"


def _latency(results: Results, work: Work) -> Iterator[str]:
    """Yield how long a run takes, and of a stream how long its first token."""
    yield _row("ms, p50 and p99, in flight:", *map(str, results.concurrency))
    yield _rule(len(results.concurrency) + 1)
    for system in results.able(work):
        cells = [Cell(work, in_flight, system) for in_flight in results.concurrency]
        yield _row(system, *(_latencies(results, cell) for cell in cells))
    if work is not Work.STREAM:
        return
    yield from ("", _row("ms to the first token, in flight:", *map(str, results.concurrency)))
    yield _rule(len(results.concurrency) + 1)
    for system in results.able(work):
        cells = [Cell(work, in_flight, system) for in_flight in results.concurrency]
        yield _row(system, *(_cell(results, cell, _first_token_ms, "{:.1f}") for cell in cells))


def _latencies(results: Results, cell: Cell) -> str:
    p99 = results.median(cell, lambda sample: sample.p99_ms)
    if p99 is None:
        return _NONE
    p50 = results.median(cell, _p50_ms)
    ratio = _to_first(results, cell, _p50_ms)
    return f"{p50:.2f}, {p99:.1f}{ratio}"


def _refusals(results: Results, work: Work) -> Iterator[str]:
    """Yield which cells held runs that were refused at first, and which have no figure."""
    reasons, refusals = [], []
    for system in results.able(work):
        for in_flight in results.concurrency:
            cell = Cell(work, in_flight, system)
            if cell in results.absent:
                reasons.append(f"With {in_flight} in flight: {results.absent[cell]}.")
            elif refused := results.median(cell, lambda sample: sample.refused):
                refusals.append(f"{system} {refused:.2f} with {in_flight}")
    if refusals:
        yield from ("", f"Refused at first, times a run: {'; '.join(refusals)}.")
    if reasons:
        yield from ("", " ".join(reasons))


def _by_process(results: Results) -> Iterator[str]:
    """Yield who used the processors when a system got most done."""
    yield _row("µs a run", "of", "in flight", "in all", "by process")
    yield _rule(5)
    for work in results.works:
        for system in results.able(work):
            if cell := results.busiest(work, system):
                spent = _spent(results, cell)
                parts = ", ".join(f"{role} {us:,.0f}" for role, us in spent.items() if us >= 1)
                total = f"{sum(spent.values()):,.0f}"
                yield _row(work.heading, system, str(cell.in_flight), total, parts)


def _spent(results: Results, cell: Cell) -> dict[str, float]:
    roles = results.samples(cell)[0].cpu_us
    return {role: results.median(cell, _cpu_us_of(role)) or 0 for role in roles}


def _standing(results: Results, subject: str) -> Iterator[str]:
    """Yield how one system stands to each other."""
    fewest = results.concurrency[0]
    yield _row("ratio to", "work", f"p50 with {fewest}", "most done", "CPU/run at the most")
    yield _rule(5)
    for system in results.systems:
        for work in results.works:
            if system != subject and {system, subject} <= set(results.able(work)):
                yield _row(system, work.heading, *_ratios(results, work, subject, system))


def _ratios(results: Results, work: Work, subject: str, system: str) -> Iterator[str]:
    alone = Cell(work, results.concurrency[0], subject)
    yield _times(results.ratio(alone, alone._replace(system=system), _p50_ms))
    own, other = (results.busiest(work, name) for name in (subject, system))
    for measure in (_per_s, _cpu_us):
        yield _times(results.ratio(own, other, measure) if own and other else None)


def _held(results: Results) -> Iterator[str]:
    yield _row("MB in the end", "in all", "by process", "idle, % of a core")
    yield _rule(4)
    for system, processes in results.memory.items():
        parts = ", ".join(f"{role} {held.pss_mb:.0f}" for role, held in processes.items())
        total = sum(held.pss_mb for held in processes.values())
        yield _row(system, f"{total:.0f}", parts, f"{100 * results.idle_share[system]:.1f}")


def _cell(results: Results, cell: Cell, measure: Measure, form: str) -> str:
    median = results.median(cell, measure)
    return _NONE if median is None else form.format(median) + _to_first(results, cell, measure)


def _to_first(results: Results, cell: Cell, measure: Measure) -> str:
    first = results.systems[0]
    if cell.system == first:
        return ""
    ratio = results.ratio(cell, cell._replace(system=first), measure)
    return "" if ratio is None else f" ({ratio:.2f}x)"


def _times(ratio: float | None) -> str:
    return _NONE if ratio is None else f"{ratio:.2f}x"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return "|---" * columns + "|"


def _per_s(sample: Sample) -> float:
    return sample.per_s


def _p50_ms(sample: Sample) -> float:
    return sample.p50_ms


def _cpu_us(sample: Sample) -> float:
    return sum(sample.cpu_us.values())


def _cpu_us_of(role: str) -> Callable[[Sample], float]:
    return lambda sample: sample.cpu_us.get(role, 0.0)


def _first_token_ms(sample: Sample) -> float:
    assert sample.first_token_ms is not None, "streams have a first token"
    return sample.first_token_ms
