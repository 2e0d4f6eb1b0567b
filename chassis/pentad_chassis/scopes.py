"""Where services keep for each other what is no run: scopes of entries in the state service."""


def webhooks(tenant: str) -> str:
    """Return the scope of a tenant's webhooks, by name: each a `WebhookRecord`."""
    return f"webhooks/{tenant}"


def triggers(tenant: str) -> str:
    """Return the scope of a tenant's triggers, by name: each a `TriggerRecord`."""
    return f"triggers/{tenant}"


def dead_letters(tenant: str) -> str:
    """Return the scope of a tenant's notices that were given up, by id: each a `DeadLetter`."""
    return f"dead-letters/{tenant}"


def workflows(tenant: str) -> str:
    """Return the scope of a tenant's workflows, by name: each a `WorkflowSpec`."""
    return f"workflows/{tenant}"
