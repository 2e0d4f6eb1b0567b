#!/bin/sh
# The public API with grpcurl: what there is, whether it is well, and a run.
# Needs a running suite (`make up`) and the agent `clock` (examples/agents/clock.yaml).
set -eu
address=${PENTAD_ADDRESS:-127.0.0.1:50051}
key_file=${PENTAD_API_KEY_FILE:-.pentad/api-key}

echo "# services, by reflection"
grpcurl -plaintext "$address" list

echo "# health"
grpcurl -plaintext "$address" grpc.health.v1.Health/Check

echo "# a run, streamed"
# The header comes from the environment: arguments are for everybody on this machine to read.
PENTAD_HEADER="Bearer $(cat "$key_file")" grpcurl -plaintext -expand-headers \
  -H 'authorization: ${PENTAD_HEADER}' \
  -d '{"spec": {"agent": "clock", "input": "What time is it in Asia/Tokyo?"}}' \
  "$address" pentad.gateway.v1.RunService/ExecuteRun
