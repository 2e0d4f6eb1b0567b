"""What is taken out, one at a time, and which tests have to notice."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """A safeguard, and how the source looks without it."""

    name: str
    path: str
    before: str
    """Stands in the file exactly once."""
    after: str
    tests: str
    """The file of those that are run; one at least has to fail."""


_BREAKER = "chassis/pentad_chassis/breaker.py"
_POLICY = "chassis/pentad_chassis/policy.py"
_STATE = "services/state/pentad_state"
_TOOLS = "services/tools/pentad_tools"
_CACHE = "services/executor/pentad_executor/cache.py"
_ORCHESTRATOR = "services/orchestrator/pentad_orchestrator"
_APPEND = f"{_STATE}/scripts/append.lua"
_APPEND_ALL = f"{_STATE}/scripts/run_append_all.lua"
_DECIDE = f"{_STATE}/scripts/approval_decide.lua"
_BEGIN = f"{_STATE}/scripts/effect_begin.lua"

MUTATIONS = (
    Mutation(
        "the breaker",
        _BREAKER,
        "        if self._state == pybreaker.STATE_CLOSED:\n            return self._generation\n",
        "        if self._state:\n            return self._generation\n",
        "tests/unit/chassis/test_breaker.py",
    ),
    Mutation(
        "the probe gate",
        _BREAKER,
        "        if now < self._next_probe_at:\n",
        "        if False:\n",
        "tests/unit/chassis/test_breaker.py",
    ),
    Mutation(
        "the deadline trim",
        _POLICY,
        "    return min(TRIM_S, remaining * _TRIM_PART)\n",
        "    return 0.0\n",
        "tests/unit/chassis/test_policy.py",
    ),
    Mutation(
        "the retry budget",
        _POLICY,
        "        return self._tokens > self._MOST / 2\n",
        "        return True\n",
        "tests/unit/chassis/test_policy.py",
    ),
    Mutation(
        "the fence of an append",
        _APPEND,
        "if tonumber(held[1]) ~= RUNNING or held[2] ~= fence then\n",
        "if tonumber(held[1]) ~= RUNNING then\n",
        "tests/contract/test_runs.py",
    ),
    Mutation(
        "the expected seq of an append",
        _APPEND,
        "if seq ~= expected then\n",
        "if false then\n",
        "tests/contract/test_runs.py",
    ),
    Mutation(
        "the memory of an append",
        _APPEND,
        "if kept[1] and string.sub(kept[1], 14, 29) == tag then\n",
        "if false then\n",
        "tests/contract/test_runs.py",
    ),
    Mutation(
        "the look at what was said before a run waits",
        _APPEND_ALL,
        "unheard(asked[4], asked[5]) > 0",
        "false",
        "tests/contract/test_waiting.py",
    ),
    Mutation(
        "what a decision has over an expiry",
        _APPEND_ALL,
        "  if is_overtaken(book, ARGV[i], ARGV[i + 1]) then\n",
        "  if false then\n",
        "tests/contract/test_approvals.py",
    ),
    Mutation(
        "what the first decision has over the second",
        _DECIDE,
        "if stands == APPROVED or stands == REFUSED then\n",
        "if false then\n",
        "tests/contract/test_approvals.py",
    ),
    Mutation(
        "the digest of what was approved",
        _DECIDE,
        "if digest ~= '' and digest ~= known[5] then\n",
        "if false then\n",
        "tests/contract/test_approvals.py",
    ),
    Mutation(
        "the names of those who may decide",
        _DECIDE,
        "if not is_allowed() then\n",
        "if false then\n",
        "tests/contract/test_approvals.py",
    ),
    Mutation(
        "the memory of a signal",
        f"{_STATE}/scripts/run_signal.lua",
        "if redis.call('SISMEMBER', tags, tag) == 1 then\n",
        "if false then\n",
        "tests/contract/test_signals.py",
    ),
    Mutation(
        "the ledger's begin, in the tools service",
        f"{_TOOLS}/attempt.py",
        "        match begun.verdict:\n",
        "        match BeginEffectResponse.VERDICT_RUN:\n",
        "tests/integration/tools/test_calls.py",
    ),
    Mutation(
        "the ledger's memory of what is done",
        _BEGIN,
        "if state == 'done' then\n",
        "if false then\n",
        "tests/contract/test_effects.py",
    ),
    Mutation(
        "the ledger's hold on what is in progress",
        _BEGIN,
        "if held[4] ~= runner and until_ms > ms then\n",
        "if false then\n",
        "tests/contract/test_effects.py",
    ),
    Mutation(
        "the check of a cursor",
        f"{_STATE}/cursor.py",
        """    if version != _VERSION or found != checksum(run_id, f"{seq}.{offset}"):\n""",
        "    if version != _VERSION:\n",
        "tests/contract/test_tails.py",
    ),
    Mutation(
        "the end of a lease, for its owner",
        f"{_ORCHESTRATOR}/owned.py",
        "if owned.held_until_s < now_s]\n",
        "if False]\n",
        "tests/unit/orchestrator/test_owned.py",
    ),
    Mutation(
        "the tenant of a kept answer",
        _CACHE,
        """scope=f"responses/{key[:2]}/{turn.tenant}",\n""",
        """scope=f"responses/{key[:2]}",\n""",
        "tests/unit/executor/test_cache.py",
    ),
    Mutation(
        "the refusal to keep what a ONCE tool is called by",
        _CACHE,
        "        effects.get(call.tool) in _REPEATABLE and",
        "        call.tool and",
        "tests/unit/executor/test_cache.py",
    ),
    Mutation(
        "the digest of approved arguments",
        f"{_ORCHESTRATOR}/approvals.py",
        "    if asked is None or asked.approval.arguments_digest != digest(call.wish.arguments):\n",
        "    if asked is None:\n",
        "tests/unit/orchestrator/test_approvals.py",
    ),
    Mutation(
        "the leave of a call",
        f"{_ORCHESTRATOR}/approvals.py",
        "    if asked.open:\n        return Leave.AWAITED\n",
        "    if asked.open:\n        return Leave.GIVEN\n",
        "tests/unit/orchestrator/test_waiting_properties.py",
    ),
    Mutation(
        "a decision before an expiry",
        f"{_ORCHESTRATOR}/approvals.py",
        "                change.must_be_pending = True\n",
        "                change.must_be_pending = False\n",
        "tests/unit/orchestrator/test_driver.py",
    ),
    Mutation(
        "the end of a child that nobody knows of yet",
        f"{_ORCHESTRATOR}/children.py",
        '    child = run.children.get((told.key, told.index), Child(""))\n'
        "    if child.status is not None:\n",
        "    child = run.children.get((told.key, told.index))\n"
        "    if child is None or child.status is not None:\n",
        "tests/unit/orchestrator/test_children.py",
    ),
    Mutation(
        "the end of a child that may exist",
        f"{_ORCHESTRATOR}/outbox.py",
        "        if name not in left and name not in after.children:\n",
        "        if False:\n",
        "tests/unit/orchestrator/test_waiting_properties.py",
    ),
)
