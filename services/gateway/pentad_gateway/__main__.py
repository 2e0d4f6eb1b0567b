"""`python -m pentad_gateway`: run the gateway service until SIGTERM."""

from pentad_chassis.runner import main
from pentad_gateway.app import open_app
from pentad_gateway.config import Config

main("gateway", Config, open_app)
