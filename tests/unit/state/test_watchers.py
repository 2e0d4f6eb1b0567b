"""Who follows a run gets each event once, whatever is handed on, announced or lost on the way."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from pentad.state.v1.event_pb2 import Event, TextDelta
from pentad_state.cursor import BEGINNING, Position
from pentad_state.watchers import Growth, Watch, Watchers

RUN = "01" + "a" * 26


class Follower:
    """Follows one run as a tail does, and looks into what stands for the store."""

    def __init__(self, watch: Watch, journal: list[Growth]) -> None:
        self.watch = watch
        self.at = BEGINNING
        self.got: list[Event] = []
        self.looks = 0
        self._journal = journal

    def go(self) -> None:
        """Take whatever there is."""
        while True:
            grown = self.watch.take(self.at)
            if grown is None:
                if not self.watch.begin_look(self.at):
                    return
                grown = self._look()
            self.got += grown.events
            self.at = grown.end

    def _look(self) -> Growth:
        self.looks += 1
        rest = [growth for growth in self._journal if growth.end > self.at]
        events = [event for growth in rest for event in growth.events]
        return Growth(self.at, events, rest[-1].end if rest else self.at)


def grown(sizes: list[int]) -> list[Growth]:
    """Growths, each behind the other: texts of so many bytes, and an event for each 0."""
    at, every = BEGINNING, []
    for size in sizes:
        if size and at.seq:
            end = Position(at.seq, at.offset + size)
            event = Event(seq=at.seq, text_delta=TextDelta(offset=at.offset, text="x" * size))
        else:
            end = Position(at.seq + 1)
            event = Event(seq=end.seq)
        every.append(Growth(at, [event], end))
        at = end
    return every


def announced(growth: Growth) -> bytes:
    """What the store says of it."""
    return f"{RUN} {growth.end.seq} {growth.end.offset} 0".encode()


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=20),
    st.lists(st.sets(st.sampled_from(["handed on", "first", "later", "read"])), min_size=20),
)
def test_each_event_comes_once_and_in_order(sizes: list[int], ways: list[set[str]]) -> None:
    """Recorded here or elsewhere, announced before that is known here, or after, or never."""
    watchers = Watchers()
    journal: list[Growth] = []
    with watchers.watch(RUN) as watch:
        follower = Follower(watch, journal)
        for growth, way in zip(grown(sizes), ways, strict=False):
            journal.append(growth)
            if "handed on" in way:
                with watchers.recording(RUN) as grew:
                    if "first" in way:
                        watchers.heard(announced(growth))
                    if "read" in way:
                        follower.go()
                    grew(growth)
            if "later" in way:
                watchers.heard(announced(growth))
            if "read" in way:
                follower.go()
        watchers.missed()
        follower.go()

    assert follower.got == [event for growth in journal for event in growth.events]
    assert watchers.count == 0


def test_what_is_recorded_here_is_looked_for_by_nobody() -> None:
    watchers, journal = Watchers(), grown([0, 3, 3, 0])
    with watchers.watch(RUN) as watch:
        follower = Follower(watch, [])
        follower.go()
        for growth in journal:
            with watchers.recording(RUN) as grew:
                watchers.heard(announced(growth))
                grew(growth)
            follower.go()

    assert len(follower.got) == 4
    assert follower.looks == 1, "at first, when nothing is known"


def test_one_who_is_slow_is_held_little_for() -> None:
    watchers = Watchers()
    journal = grown([0] + [50_000] * 40)
    with watchers.watch(RUN) as watch:
        follower = Follower(watch, journal)
        watch.begin_look(BEGINNING)
        for growth in journal:
            with watchers.recording(RUN) as grew:
                grew(growth)
        follower.go()

    assert follower.looks == 1
    assert len(follower.got) == 41


def test_announcements_of_another_version_are_looked_into() -> None:
    def looks_after(tell: Callable[[Watchers], None]) -> int:
        watchers = Watchers()
        with watchers.watch(RUN) as watch:
            follower = Follower(watch, [])
            follower.go()
            tell(watchers)
            follower.go()
        return follower.looks - 1

    assert looks_after(lambda w: w.heard(RUN.encode())) == 1
    assert looks_after(lambda w: w.heard(RUN.encode() + b" 1 2 3 4 5")) == 1
    assert looks_after(lambda w: w.heard(b"another 1 0 0")) == 0


def test_who_waits_for_the_end_is_told_of_nothing_else() -> None:
    watchers = Watchers()
    (growth,) = grown([0])
    with watchers.watch(RUN, follows=False) as watch:
        watch.begin_look(BEGINNING)
        watchers.heard(announced(growth))
        with watchers.recording(RUN) as grew:
            grew(growth)
        assert not watch.begin_look(BEGINNING)

        with watchers.recording(RUN) as grew:
            grew(Growth(growth.start, growth.events, growth.end, closes=True))
        assert watch.begin_look(BEGINNING)

        watchers.heard(announced(growth)[:-1] + b"1")
        assert watch.begin_look(BEGINNING)
