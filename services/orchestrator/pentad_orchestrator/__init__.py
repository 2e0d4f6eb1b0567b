"""The orchestrator service: owns runs and decides every next step."""
