"""The least that a verification can cost: one digest, one look-up, one line of JSON.

What the web server below does by itself is all the rest. No scopes, no addresses, no end
of a key, no counting, no change: the yardstick of the other figures.
"""

import hmac
import os
from pathlib import Path

_PEPPER = b"p" * 32
_KEYS = {
    hmac.digest(_PEPPER, line.encode(), "sha256"): number
    for number, line in enumerate(Path(os.environ["BARE_KEYS"]).read_text().split())
}


def application(environ, start_response):
    """Answer 200 with the number of a key that is known, else 401."""
    key = environ.get("HTTP_X_API_KEY", "")
    number = _KEYS.get(hmac.digest(_PEPPER, key.encode(), "sha256"))
    status = "401 Unauthorized" if number is None else "200 OK"
    body = b'{"valid":false}' if number is None else b'{"valid":true,"key_id":%d}' % number
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return [body]
