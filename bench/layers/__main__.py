"""`python -m bench.layers`: what each layer of each service costs a run, in processor time.

The suite on five processes, turn about with and without sampling: what a run costs is taken from
the turns without, where it goes from the turns with. A layer is told by the file that the innermost
frame of a stack is in; see `stacks.py`. Needs Linux.
"""

import argparse
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.arguments import whole_number
from bench.command import carried_out
from bench.layers.profile import INSIDE, Profile, sampling
from bench.layers.stacks import Layer
from bench.load import Sample, System, measure
from bench.model_server import open_model_server
from bench.processes import ROOT
from bench.site import claim_ground
from bench.suite import execute, open_suite
from bench.work import Work
from pentad_allinone.layout import SERVICES

_WARM_UP_S = 2.0
_TURN_S = 5.0


@dataclass(slots=True)
class Layers:
    """What was seen."""

    profiles: dict[str, Profile] = field(default_factory=dict)
    """Of each service, by its name."""
    plain: list[Sample] = field(default_factory=list)
    """Turns without sampling."""
    sampled: list[Sample] = field(default_factory=list)

    def cost_us(self, role: str, samples: Sequence[Sample]) -> float:
        """Return the processor time for a run of one process."""
        return statistics.median(sample.cpu_us[role] for sample in samples)

    def overhead(self) -> float:
        """Return what sampling adds to the time of the services, as a ratio."""
        sums = [
            sum(self.cost_us(role, turns) for role in self.profiles)
            for turns in (self.sampled, self.plain)
        ]
        return sums[0] / sums[1]


def main() -> None:
    """Print the table."""
    arguments = _arguments()
    layers = carried_out(_measured(arguments))
    for line in _table(layers):
        print(line)
    for line in _hottest(layers.profiles, arguments.functions) if arguments.functions else ():
        print(line)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.layers", description=__doc__)
    add = parser.add_argument
    add("--work", type=Work, choices=list(Work), default=Work.SIMPLE, help="(simple)")
    add("--in-flight", type=whole_number, default=16, help="runs in flight (16)")
    add("--turns", type=whole_number, default=4, help="turns of 5 s of each kind (4)")
    add("--linked", action="store_true", help="have the client's calls linked as well")
    add("--functions", type=whole_number, help="also the so many hottest lines of each service")
    return parser.parse_args()


async def _measured(arguments: argparse.Namespace) -> Layers:
    with claim_ground() as ground:
        stacks = ground.data / "stacks"
        stacks.mkdir()
        async with open_model_server(ground.data / "model.log") as model_url:
            sampled = open_suite(
                ground.site("suite", model_url),
                "the suite",
                execute,
                processes=True,
                variables={"PYTHONPATH": INSIDE, "BENCH_STACKS": stacks},
                linked=arguments.linked,
            )
            async with sampled as suite:
                return await _turns(suite, stacks, arguments)


async def _turns(suite: System, stacks: Path, arguments: argparse.Namespace) -> Layers:
    take = partial(measure, suite, arguments.work, arguments.in_flight)
    services = {role: pid for role, pid in suite.processes.items() if role in SERVICES}
    layers = Layers({role: Profile() for role in services})
    await take(_WARM_UP_S)
    for _ in range(arguments.turns):
        layers.plain.append(await take(_TURN_S))
        with sampling(services, stacks, layers.profiles):
            layers.sampled.append(await take(_TURN_S))
    return layers


def _table(layers: Layers) -> Iterator[str]:
    roles = list(reversed(layers.profiles))
    costs = {role: layers.cost_us(role, layers.plain) for role in roles}
    yield f"| µs a run | {' | '.join(roles)} | in all |"
    yield "|---" * (len(roles) + 2) + "|"
    shares = {role: layers.profiles[role].shares() for role in roles}
    for layer in Layer:
        own = [costs[role] * shares[role].get(layer, 0.0) for role in roles]
        if sum(own):
            yield _row(layer, own)
    yield _row("in all", list(costs.values()))
    others = {role: layers.cost_us(role, layers.plain) for role in layers.plain[0].cpu_us}
    beside = ", ".join(f"{role} {us:,.0f}" for role, us in others.items() if role not in costs)
    seen = sum(profile.layers.total() for profile in layers.profiles.values())
    yield (
        f"\nBeside them: {beside}. Sampling cost {layers.overhead() - 1:+.1%} while it went on, "
        f"and saw {seen:,} stacks."
    )


def _row(title: str, costs: Sequence[float]) -> str:
    return f"| {title} | {' | '.join(f'{us:,.0f}' for us in costs)} | {sum(costs):,.0f} |"


def _hottest(profiles: dict[str, Profile], count: int) -> Iterator[str]:
    for role in reversed(profiles):
        yield f"\n{role}"
        for frame, share in profiles[role].hottest(count):
            path = frame.path.removeprefix(f"{ROOT}/").rpartition("site-packages/")[2]
            yield f"{share:6.1%}  {path}:{frame.line} {frame.function}"


if __name__ == "__main__":
    main()
