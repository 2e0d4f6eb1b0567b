"""The commands, one module for each group."""

import typer

from pentad_cli.commands import (
    agents,
    approvals,
    budgets,
    doctor,
    events,
    forks,
    pauses,
    run,
    runs,
    schedules,
    sessions,
    status,
    tools,
    trace,
    triggers,
    up,
    usage,
    webhooks,
    workflows,
)

app = typer.Typer(
    help="Run AI agents: start a suite, apply agents, run them and see what they did.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(up.up)
app.add_typer(agents.app, name="agent")
app.command("run")(run.run)
app.command("tail")(runs.tail)
app.command("wait")(runs.wait)
app.command("runs")(runs.list_runs)
app.command("show")(runs.show)
app.command("pause")(pauses.pause)
app.command("resume")(pauses.resume)
app.command("cancel")(runs.cancel)
app.command("fork")(forks.fork)
app.command("approvals")(approvals.list_approvals)
app.command("approval")(approvals.show)
app.command("approve")(approvals.approve)
app.command("refuse")(approvals.refuse)
app.command("trace")(trace.trace)
app.command("tools")(tools.list_tools)
app.command("sessions")(sessions.list_sessions)
app.add_typer(sessions.app, name="session")
app.add_typer(workflows.app, name="workflow")
app.add_typer(webhooks.app, name="webhook")
app.add_typer(events.app, name="event")
app.add_typer(triggers.app, name="trigger")
app.add_typer(budgets.app, name="budget")
app.command("usage")(usage.usage)
app.add_typer(schedules.app, name="schedule")
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)

__all__ = ["app"]
