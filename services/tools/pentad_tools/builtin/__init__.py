"""The tools that come with Pentad."""

from pentad_tools.builtin import calculator, clock, csv_files, http_get, notebook, publish
from pentad_tools.tool import AnyTool

TOOLS: tuple[AnyTool, ...] = (
    calculator.calculator,
    clock.current_time,
    csv_files.csv_describe,
    csv_files.csv_query,
    http_get.http_get,
    notebook.notebook_append,
    notebook.notebook_read,
    publish.publish_event,
)
