"""The commands, one module for each group."""

import typer

from pentad_cli.commands import (
    agents,
    doctor,
    pauses,
    run,
    runs,
    sessions,
    status,
    tools,
    trace,
    up,
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
app.command("trace")(trace.trace)
app.command("tools")(tools.list_tools)
app.command("sessions")(sessions.list_sessions)
app.command("session")(sessions.show_session)
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)

__all__ = ["app"]
