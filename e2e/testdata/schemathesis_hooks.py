"""What Schemathesis does not know of the management API by itself."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_context, value):
    """Sends what it made up for an import: bytes, or one line of JSON."""
    if isinstance(value, bytes):
        return value
    return json.dumps(value).encode() + b"\n"
