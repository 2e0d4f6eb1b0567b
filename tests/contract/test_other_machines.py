"""Entries, sessions and effects do what simple models of them do."""

from dataclasses import dataclass, field

import pytest
from harness.engines import SINGLE
from harness.machines import LONG_S, SHORT_S, SMALL, CoreMachine
from harness.runs import TENANT, seconds
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from pentad.state.v1.effect_service_pb2 import BeginEffectResponse, EffectKey, EffectOutcome
from pentad.state.v1.message_pb2 import Message, Payload
from pentad.state.v1.session_pb2 import SessionMessage
from pentad.state.v1.tool_pb2 import Effect
from pentad_state.errors import (
    ArgumentsChanged,
    EffectNotFound,
    EntryNotFound,
    SessionNotFound,
    StaleFence,
    VersionMismatch,
)

NAMES = st.sampled_from(["a", "ab", "b", "ü"])


class EntryMachine(CoreMachine):
    """Versioned values of one scope."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.model: dict[str, tuple[int, bytes]] = {}

    @rule(
        name=NAMES,
        value=st.binary(max_size=4),
        expected=st.none() | st.integers(0, 3),
        ttl_s=st.sampled_from([None, SHORT_S, LONG_S]),
    )
    def put(self, name: str, value: bytes, expected: int | None, ttl_s: float | None) -> None:
        version = self.model.get(name, (0, b""))[0]
        ttl = None if ttl_s is None else seconds(ttl_s)
        step = self.core.entries.put("scope", name, value, expected, ttl)
        if expected not in {None, version}:
            with pytest.raises(VersionMismatch):
                self.run(step)
            return
        assert self.run(step).version == version + 1
        self.model[name] = (version + 1, value)
        if ttl_s == SHORT_S:
            self.expire()
            del self.model[name]

    @rule(name=NAMES, expected=st.none() | st.integers(0, 3))
    def delete(self, name: str, expected: int | None) -> None:
        step = self.core.entries.delete("scope", name, expected)
        if name in self.model and expected not in {None, self.model[name][0]}:
            with pytest.raises(VersionMismatch):
                self.run(step)
            return
        self.run(step)
        self.model.pop(name, None)

    @rule(name=NAMES)
    def get(self, name: str) -> None:
        step = self.core.entries.get("scope", name)
        if name in self.model:
            entry = self.run(step)
            assert (entry.version, entry.value) == self.model[name]
            return
        with pytest.raises(EntryNotFound):
            self.run(step)

    @rule(prefix=st.sampled_from(["", "a", "ü", "c"]), size=st.integers(1, 3))
    def list_all(self, prefix: str, size: int) -> None:
        found: dict[str, tuple[int, bytes]] = {}
        token = ""
        while True:
            entries, token = self.run(self.core.entries.list_entries("scope", prefix, size, token))
            found |= {e.key: (e.version, e.value) for e in entries}
            if not token:
                break
        assert found == {k: v for k, v in self.model.items() if k.startswith(prefix)}


class SessionMachine(CoreMachine):
    """Conversations of one tenant."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.model: dict[str, list[str]] = {}
        self.appends: dict[str, set[str]] = {}

    @rule(
        session=NAMES,
        append=st.sampled_from(["x", "y", "z", "w"]),
        texts=st.lists(st.text(max_size=3), min_size=1, max_size=3),
        ttl_s=st.sampled_from([None, SHORT_S]),
    )
    def append(self, session: str, append: str, texts: list[str], ttl_s: float | None) -> None:
        messages = [SessionMessage(message=Message(text=text)) for text in texts]
        ttl = None if ttl_s is None else seconds(ttl_s)
        repeated = append in self.appends.get(session, ())
        stored = self.run(self.core.sessions.append(TENANT, session, append, messages, ttl))
        assert stored is not None
        if not repeated:
            self.model.setdefault(session, []).extend(texts)
            self.appends.setdefault(session, set()).add(append)
        assert stored.last_seq == len(self.model[session])
        if ttl_s is not None and not repeated:
            self.expire()
            self.forget(session)

    @rule(session=NAMES)
    def delete(self, session: str) -> None:
        self.run(self.core.sessions.delete(TENANT, session))
        self.forget(session)

    @rule(session=NAMES, last=st.integers(0, 8), count=st.integers(0, 4))
    def window(self, session: str, last: int, count: int) -> None:
        texts = self.model.get(session, [])
        found, seq = self.run(self.core.sessions.window(TENANT, session, last, count, 0))
        end = min(last, len(texts)) if last else len(texts)
        assert seq == end
        assert [m.text for m in found] == texts[max(end - (count or 100), 0) : end]

    @rule(session=NAMES, size=st.integers(1, 3))
    def messages(self, session: str, size: int) -> None:
        found: list[str] = []
        token = ""
        while True:
            step = self.core.sessions.list_messages(TENANT, session, size, token)
            if session not in self.model:
                with pytest.raises(SessionNotFound):
                    self.run(step)
                return
            page, token = self.run(step)
            found += [m.message.text for m in page]
            if not token:
                break
        assert found == self.model[session]

    @invariant()
    def every_session_is_listed(self) -> None:
        sessions, token = self.run(self.core.sessions.list_sessions(TENANT, 100, ""))
        assert token == ""
        assert {s.session_id: s.last_seq for s in sessions} == {
            name: len(texts) for name, texts in self.model.items()
        }

    def forget(self, session: str) -> None:
        self.model.pop(session, None)
        self.appends.pop(session, None)


@dataclass
class ModelCall:
    """What the ledger should say about a call."""

    fingerprint: bytes
    once: bool
    runner: str
    fence: int = 1
    dead: bool = False
    unknown: bool = False
    outcome: EffectOutcome | None = field(default=None)


class EffectMachine(CoreMachine):
    """Calls of one run, by runners that live and die."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.model: dict[str, ModelCall] = {}

    @rule(
        call=st.sampled_from(["1", "2"]),
        fingerprint=st.sampled_from([b"\x00", b"b"]),
        once=st.booleans(),
        runner=st.sampled_from(["r1", "r2", "r3"]),
        hold_s=st.sampled_from([SHORT_S, LONG_S]),
    )
    def begin(
        self, call: str, fingerprint: bytes, runner: str, hold_s: float, *, once: bool
    ) -> None:
        effect = Effect.EFFECT_ONCE if once else Effect.EFFECT_PURE
        held = self.model.get(call)
        step = self.core.effects.begin(key(call), fingerprint, effect, runner, seconds(hold_s))
        if held is not None and held.fingerprint != fingerprint:
            with pytest.raises(ArgumentsChanged):
                self.run(step)
            return
        verdict = self.run(step)
        self.expire()
        if held is None:
            held = self.model[call] = ModelCall(fingerprint, once, runner, fence=0, dead=False)
        elif held.outcome is not None:
            assert verdict.verdict == BeginEffectResponse.VERDICT_REPLAY
            assert verdict.outcome == held.outcome
            return
        elif held.runner != runner and not held.dead:
            assert verdict.verdict == BeginEffectResponse.VERDICT_IN_PROGRESS
            return
        elif held.runner != runner and held.once:
            held.unknown = True
        held.runner, held.fence, held.dead = runner, held.fence + 1, hold_s == SHORT_S
        assert verdict.fence == held.fence
        assert verdict.verdict == (
            BeginEffectResponse.VERDICT_OUTCOME_UNKNOWN
            if held.unknown
            else BeginEffectResponse.VERDICT_RUN
        )

    @rule(call=st.sampled_from(["1", "2"]), back=st.integers(0, 1), text=st.sampled_from("xy"))
    def complete(self, call: str, back: int, text: str) -> None:
        held = self.model.get(call)
        outcome = EffectOutcome(result=Payload(text=text))
        fence = held.fence - back if held else 1
        step = self.core.effects.complete(key(call), fence, outcome)
        if held is None:
            with pytest.raises(EffectNotFound):
                self.run(step)
        elif held.outcome is not None:
            assert self.run(step) == held.outcome
        elif back:
            with pytest.raises(StaleFence):
                self.run(step)
        else:
            assert self.run(step) == outcome
            held.outcome = outcome

    @rule(
        call=st.sampled_from(["1", "2"]),
        back=st.integers(0, 1),
        hold_s=st.sampled_from([SHORT_S, LONG_S]),
    )
    def extend(self, call: str, back: int, hold_s: float) -> None:
        held = self.model.get(call)
        fence = held.fence - back if held else 1
        step = self.core.effects.extend(key(call), fence, seconds(hold_s))
        if held is None:
            with pytest.raises(EffectNotFound):
                self.run(step)
        elif back:
            with pytest.raises(StaleFence):
                self.run(step)
        else:
            self.run(step)
            self.expire()
            held.dead = hold_s == SHORT_S

    @rule(call=st.sampled_from(["1", "2"]), back=st.integers(0, 1))
    def allow(self, call: str, back: int) -> None:
        held = self.model.get(call)
        fence = held.fence - back if held else 1
        step = self.core.effects.resolve(key(call), fence, None, seconds(LONG_S))
        if held is None:
            with pytest.raises(EffectNotFound):
                self.run(step)
        elif back or held.outcome is not None:
            with pytest.raises(StaleFence):
                self.run(step)
        else:
            self.run(step)
            held.unknown, held.dead = False, False


def key(call: str) -> EffectKey:
    return EffectKey(run_id="07" + "a" * 26, call_id=call)


@pytest.mark.parametrize("engine", SINGLE, indirect=True)
@pytest.mark.parametrize("machine", [EntryMachine, SessionMachine, EffectMachine])
def test_it_follows_the_model(engine: str, machine: type[CoreMachine]) -> None:
    run_state_machine_as_test(lambda: machine(engine), settings=SMALL)  # type: ignore[arg-type] # a factory will do
