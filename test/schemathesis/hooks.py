"""Tells schemathesis how to send the lines of an import, and which server errors are no faults."""

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_context, value):
    return str(value).encode()


# What a request can ask for that cannot be done, with a status of 5xx.
OF_THE_REQUEST = {
    "/problems/revision-not-reached",
    "/problems/bucket-full",
    "/problems/storage-exhausted",
}


@schemathesis.check
def server_error_is_of_the_request(_context, response, case):
    """A 5xx that the settings allow must have one of these causes. HEAD is not told the cause."""
    if response.status_code >= 500 and case.method.upper() != "HEAD":
        assert response.json()["type"] in OF_THE_REQUEST, response.text
