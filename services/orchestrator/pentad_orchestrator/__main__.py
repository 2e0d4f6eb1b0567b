"""`python -m pentad_orchestrator`: run the orchestrator service until SIGTERM."""

from pentad_chassis.runner import main
from pentad_orchestrator.app import open_app
from pentad_orchestrator.config import Config

main("orchestrator", Config, open_app)
