"""Checks and keeps notifications: WEBHOOK_SECRETS="whsec_... whsec_..." python receiver.py PORT."""

import base64
import hashlib
import hmac
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

KEYS = [base64.b64decode(text[len("whsec_") :]) for text in os.environ["WEBHOOK_SECRETS"].split()]


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if good := self.is_signed(body):  # Keep it under its webhook-id before you answer: it may
            sys.stdout.write(body.decode() + "\n")  # come again, and then counts only once.
        self.send_response(204 if good else 401)
        self.end_headers()

    def is_signed(self, body: bytes) -> bool:
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        id_, sent_at, signatures = (self.headers.get(name, "") for name in names)
        content = f"{id_}.{sent_at}.".encode() + body  # The body as received, byte for byte.
        ours = [base64.b64encode(hmac.digest(key, content, hashlib.sha256)) for key in KEYS]
        given = signatures.encode().split()
        fits = [hmac.compare_digest(b"v1," + one, other) for one in ours for other in given]
        return any(fits) and "." not in id_ and abs(time.time() - int(sent_at)) <= 300


HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
