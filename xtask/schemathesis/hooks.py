"""What Schemathesis does not know by itself: bodies of JSON lines, and of the formats of imports."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson", "application/jsonl")
def lines(ctx, value):
    """A line for each value of a list, else one; an example is the text itself."""
    if isinstance(value, (bytes, str)):
        return value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    values = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(one).encode() + b"\n" for one in values)


@schemathesis.serializer("application/n-quads", "application/trig", "text/csv", "application/octet-stream")
def text(ctx, value):
    """As it is."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return json.dumps(value).encode()
