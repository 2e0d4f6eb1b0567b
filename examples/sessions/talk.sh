#!/bin/sh
# One conversation: a question that is interrupted, and a fork of what was said.
# Needs a running suite (`make up`).
set -eu
pentad=${PENTAD:-.venv/bin/pentad}
talk=talk-$$

$pentad agent apply -f examples/sessions/guide.yaml

echo "# a question that takes ten minutes"
$pentad run guide "Tell me slowly about Rome." --session "$talk" >/dev/null 2>&1 &
until $pentad runs --session "$talk" | grep -Eq 'running|waiting'; do sleep 0.2; done

echo "# is not waited for"
$pentad run guide "Never mind. What about Oslo?" --session "$talk" --session-policy interrupt
wait || true
$pentad session "$talk"

echo "# another way to go on from the first question"
$pentad session fork "$talk" --at 1 "$talk-again"
$pentad run guide "In one word, please." --session "$talk-again"
$pentad session "$talk-again"
