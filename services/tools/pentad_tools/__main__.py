"""`python -m pentad_tools`: run the tools service until SIGTERM."""

from pentad_chassis.runner import main
from pentad_tools.app import open_app
from pentad_tools.config import Config

main("tools", Config, open_app)
