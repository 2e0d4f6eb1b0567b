"""`python -m pentad_executor`: run the executor service until SIGTERM."""

from pentad_chassis.runner import main
from pentad_executor.app import open_app
from pentad_executor.config import Config

main("executor", Config, open_app)
