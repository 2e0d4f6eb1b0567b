"""`python -m pentad_state`: run the state service until SIGTERM."""

from pentad_chassis.runner import main
from pentad_state.app import open_app
from pentad_state.config import Config

main("state", Config, open_app)
