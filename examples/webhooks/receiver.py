"""A receiver of webhooks: verifies each notice, and prints it once.

Allow the suite to post to this machine, and start it; run the receiver with the secret that the
second command prints:

    PENTAD_TOOLS_WEBHOOK_ALLOW='*,127.0.0.1:8099' pentad up
    pentad webhook create here http://127.0.0.1:8099/
    WEBHOOK_SECRET=whsec_... python examples/webhooks/receiver.py
    pentad agent apply -f examples/agents/clock.yaml
    pentad run clock "What time is it?" --callback here

Stop the receiver, start runs, and start it again: nothing is lost, only late.
"""

import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ.get("WEBHOOK_SECRET", "")
PORT = int(os.environ.get("WEBHOOK_PORT", "8099"))
BODY_BYTES_MAX = 1024 * 1024

seen: set[str] = set()


def verify(secret: str, header: str, body: bytes, tolerance_s: float = 300) -> bool:
    """Tell whether the body was sent by the holder of the secret, and lately."""
    fields = dict(field.split("=", 1) for field in header.split(",") if "=" in field)
    sent, signature = fields.get("t", ""), fields.get("v1", "")
    wanted = hmac.new(secret.encode(), f"{sent}.".encode() + body, hashlib.sha256).hexdigest()
    fresh = sent.isdecimal() and abs(time.time() - int(sent)) <= tolerance_s
    return fresh and hmac.compare_digest(wanted, signature)


class Receiver(BaseHTTPRequestHandler):
    """Takes what is signed and refuses everything else."""

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", "0"))
        if length > BODY_BYTES_MAX:
            self.send_error(413)
            return
        body = self.rfile.read(length)
        if not verify(SECRET, self.headers.get("pentad-signature", ""), body):
            self.send_error(401)
            return
        notice = json.loads(body)
        if notice["id"] not in seen:  # a notice may come twice
            seen.add(notice["id"])
            run = notice["run"]
            print(run["run_id"], run["state"], run.get("output", ""), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Keep quiet: what matters is printed."""


if __name__ == "__main__":
    if not SECRET:
        sys.exit("set WEBHOOK_SECRET to what `pentad webhook create` printed")
    ThreadingHTTPServer(("127.0.0.1", PORT), Receiver).serve_forever()
