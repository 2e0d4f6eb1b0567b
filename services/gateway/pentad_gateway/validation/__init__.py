"""What is wrong with a request: pure functions from a request to its violations."""

from pentad_gateway.validation.agents import (
    create_agent,
    delete_agent,
    get_agent,
    list_agents,
    unknown_tools,
    update_agent,
)
from pentad_gateway.validation.approvals import (
    decide_approval,
    decision_on,
    get_approval,
    list_approvals,
)
from pentad_gateway.validation.budgets import (
    list_budgets,
    list_usage,
    name_budget,
    put_budget,
)
from pentad_gateway.validation.events import (
    create_trigger,
    list_topics,
    list_triggers,
    name_trigger,
    publish_event,
    subscribe_topic,
)
from pentad_gateway.validation.lookups import (
    fork_session,
    get_tool,
    list_messages,
    list_sessions,
    name_session,
)
from pentad_gateway.validation.runs import (
    cancel_run,
    create_run,
    fork_run,
    get_run,
    list_runs,
    resume_run,
    tail_run,
    wait_run,
)
from pentad_gateway.validation.schedules import (
    backfill_schedule,
    create_schedule,
    list_schedules,
    name_schedule,
    trigger_schedule,
    update_schedule,
)
from pentad_gateway.validation.webhooks import (
    create_webhook,
    list_dead_letters,
    list_webhooks,
    name_webhook,
    redeliver_dead_letter,
)
from pentad_gateway.validation.workflows import (
    apply_workflow,
    list_workflows,
    name_workflow,
    validate_workflow,
)

__all__ = [
    "apply_workflow",
    "backfill_schedule",
    "cancel_run",
    "create_agent",
    "create_run",
    "create_schedule",
    "create_trigger",
    "create_webhook",
    "decide_approval",
    "decision_on",
    "delete_agent",
    "fork_run",
    "fork_session",
    "get_agent",
    "get_approval",
    "get_run",
    "get_tool",
    "list_agents",
    "list_approvals",
    "list_budgets",
    "list_dead_letters",
    "list_messages",
    "list_runs",
    "list_schedules",
    "list_sessions",
    "list_topics",
    "list_triggers",
    "list_usage",
    "list_webhooks",
    "list_workflows",
    "name_budget",
    "name_schedule",
    "name_session",
    "name_trigger",
    "name_webhook",
    "name_workflow",
    "publish_event",
    "put_budget",
    "redeliver_dead_letter",
    "resume_run",
    "subscribe_topic",
    "tail_run",
    "trigger_schedule",
    "unknown_tools",
    "update_agent",
    "update_schedule",
    "validate_workflow",
    "wait_run",
]
