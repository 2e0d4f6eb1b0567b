"""Run an agent from Python with nothing but grpcio and the generated stubs.

Needs a running suite: `make up`.
"""

import os
import sys
from pathlib import Path

import grpc

from pentad.gateway.v1.agent_service_pb2 import CreateAgentRequest
from pentad.gateway.v1.agent_service_pb2_grpc import AgentServiceStub
from pentad.gateway.v1.run_service_pb2 import ExecuteRunRequest
from pentad.gateway.v1.run_service_pb2_grpc import RunServiceStub
from pentad.state.v1.agent_pb2 import Agent, Rule, RuleCall
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import RunSpec

ADDRESS = os.environ.get("PENTAD_ADDRESS", "127.0.0.1:50051")
KEY_FILE = Path(os.environ.get("PENTAD_API_KEY_FILE", ".pentad/api-key"))
CLOCK = Agent(
    name="python-clock",
    model="rules:clock",
    tools=["current_time"],
    rules=[
        Rule(name="now", call=RuleCall(tool="current_time")),
        Rule(name="say", after=["now"], answer="It is {now.time}."),
    ],
)


def main() -> int:
    """Apply an agent, run it and print its events; 1 unless the run completed."""
    key = (("authorization", f"Bearer {KEY_FILE.read_text(encoding='utf-8').strip()}"),)
    question = " ".join(sys.argv[1:]) or "What time is it?"
    with grpc.insecure_channel(ADDRESS) as channel:
        try:
            AgentServiceStub(channel).CreateAgent(
                CreateAgentRequest(agent=CLOCK), metadata=key, timeout=10
            )
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                raise
        request = ExecuteRunRequest(spec=RunSpec(agent=CLOCK.name, input=question))
        event = Event()
        for response in RunServiceStub(channel).ExecuteRun(request, metadata=key, timeout=60):
            for event in response.events:
                kind, text = event.WhichOneof("kind"), event.text_delta.text
                print(f"{event.seq:>3}  {kind}  {text}".rstrip())
        print(event.run_completed.output)
    return 0 if event.HasField("run_completed") else 1


if __name__ == "__main__":
    sys.exit(main())
