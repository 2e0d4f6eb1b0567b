"""Curves as the Markdown that goes into the documentation."""

import statistics
from collections.abc import Callable, Iterator, Sequence

from bench.growth.points import Book, Curve, Point
from bench.growth.turns import Bin
from bench.load import Sample

_FLAT = 0.05
"""Growth over 100 turns, as a part of the mean, that counts as none."""

_ROLES = ("gateway", "orchestrator", "executor", "tools", "state")


def tables(book: Book) -> Iterator[str]:
    """Yield every table, with the lines around it."""
    machine, settings = book.about["machine"], book.about["settings"]
    yield (
        f"Medians of {settings['rounds']} rounds of {settings['seconds']:g} s for each suite, "
        f"{settings['in_flight']} runs in flight, five processes. Commit "
        f"{book.about['commit'][:12]}, {machine['cores']} cores, load average "
        f"{machine['load_average']:.1f} before the start. In brackets the ratio to the first row, "
        "less what the suite beside went through."
    )
    for curve in book.curves:
        if curve.points:
            yield from ("", f"### By {curve.title}", "")
            yield from _curve(curve)
    if costs := [cost for curve in book.curves for cost in curve.costs.values()]:
        yield from ("", "### What one more takes of memory", "")
        yield _row("KB", "of", "store", "keys", *_ROLES)
        yield _rule(4 + len(_ROLES))
        for cost in costs:
            each = [f"{cost.kb.get(role, 0):.2f}" for role in _ROLES]
            store = f"{cost.store_kb:.2f}"
            yield _row(cost.what, f"{cost.count:,}", store, f"{cost.keys:.1f}", *each)
    if book.turns:
        yield from ("", "### By the length of the journal", "")
        yield from _turns(book.turns)


def _curve(curve: Curve) -> Iterator[str]:
    columns = ("runs/s", "p50 ms", "CPU µs/run", *_ROLES, "store", "idle µs/s", "MB, store's MB")
    yield _row(curve.title, *columns)
    yield _rule(len(columns) + 1)
    for point in curve.points:
        figures = [
            _cell(curve, point, _per_s, "{:,.0f}"),
            _cell(curve, point, _p50_ms, "{:.1f}"),
            _cell(curve, point, _cpu_us, "{:,.0f}"),
            *(f"{point.median(_cpu_us_of(role)):,.0f}" for role in _ROLES),
            f"{point.median(_store_cpu_us):,.0f}",
            f"{sum(point.idle_us.values()):,.0f}",
            f"{_services_mb(point):,.0f}, {point.held.store_mb:,.0f}",
        ]
        yield _row(f"{point.size:,}", *figures)
    if curve.left_out:
        yield ""
    for size, why in curve.left_out.items():
        yield f"{size:,} {curve.title} are left out: {why}."


def _cell(curve: Curve, point: Point, measure: Callable[[Sample], float], form: str) -> str:
    ratio = "" if point is curve.points[0] else f" ({curve.ratio(point, measure):.2f}x)"
    return form.format(point.median(measure)) + ratio


def _turns(turns: Sequence[Bin]) -> Iterator[str]:
    titles = ("journal B", "engine B", "CPU ms", "ms", "B sent to the model")
    yield _row("up to turn", "events in the journal", *(f"{title} a turn" for title in titles))
    yield _rule(len(titles) + 2)
    for each in turns:
        yield _row(
            str(each.last),
            f"{each.events:,}",
            f"{each.journal_bytes:,.0f}",
            f"{each.engine_bytes:,.0f}",
            f"{each.cpu_ms:.1f} ({each.cpu_ms / turns[0].cpu_ms:.2f}x)",
            f"{each.ms:.1f}",
            f"{each.sent_bytes:,.0f}",
        )
    yield ""
    journal, engine = _slopes(turns)
    verdict = "it GROWS" if grows(turns) else "neither grows"
    yield (
        f"Over 100 turns the journal's part of one changes by {journal:+.1%}, the store's by "
        f"{engine:+.1%}: {verdict}."
    )


def grows(turns: Sequence[Bin]) -> bool:
    """Tell whether a turn adds the more to journal or store the later it comes.

    Time is not asked for: it is a matter of what else the machine does, and of the words that a
    model is sent.
    """
    return any(slope > _FLAT for slope in _slopes(turns))


def _slopes(turns: Sequence[Bin]) -> tuple[float, float]:
    """Return the growth of a turn over 100 turns, as a part of the mean."""
    return (
        _slope(turns, [each.journal_bytes for each in turns]),
        _slope(turns, [each.engine_bytes for each in turns]),
    )


def _slope(turns: Sequence[Bin], values: Sequence[float]) -> float:
    if len(values) < 2:  # noqa: PLR2004 - a line needs two points
        return 0.0
    fit = statistics.linear_regression([each.last for each in turns], values)
    return 100 * fit.slope / statistics.fmean(values)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return "|---" * columns + "|"


def _services_mb(point: Point) -> float:
    return sum(mb for role, mb in point.held.rss_mb.items() if role in _ROLES)


def _per_s(sample: Sample) -> float:
    return sample.per_s


def _p50_ms(sample: Sample) -> float:
    return sample.p50_ms


def _cpu_us(sample: Sample) -> float:
    """Return the processor time of a run, but for the client's, who holds the open streams."""
    return sum(us for role, us in sample.cpu_us.items() if role != "client")


def _cpu_us_of(role: str) -> Callable[[Sample], float]:
    return lambda sample: sample.cpu_us.get(role, 0.0)


def _store_cpu_us(sample: Sample) -> float:
    return sum(us for role, us in sample.cpu_us.items() if role.endswith("-server"))
