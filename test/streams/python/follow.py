"""Follows a stream with a library of Python, and writes a line of JSON for each event.

None of these libraries reconnects by itself. The loop here does what their documentation says:
it keeps the last id and the time to wait, and asks again.
"""

import json
import sys
import time

import httpx
import httpx_sse
import requests
import sseclient

TIMEOUT = 30  # Seconds; heartbeats come more often.


def by_requests(url, headers):
    """Parses the lines by hand."""
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        response.raise_for_status()
        event = {}
        for line in response.iter_lines(chunk_size=1):
            line = line.decode()
            if line == "":
                if "data" in event:
                    yield event.get("event", ""), event.get("id"), event["data"], event.get("retry")
                event = {}
            elif not line.startswith(":"):
                name, _, value = line.partition(":")
                event[name] = value.removeprefix(" ")


def by_sseclient(url, headers):
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        response.raise_for_status()
        for event in sseclient.SSEClient(response).events():
            yield event.event, event.id, event.data, event.retry


def by_httpx(url, headers):
    with httpx.Client(timeout=TIMEOUT) as client:
        with httpx_sse.connect_sse(client, "GET", url, headers=headers) as source:
            source.response.raise_for_status()
            for event in source.iter_sse():
                yield event.event, event.id, event.data, event.retry


LIBRARIES = {"requests": by_requests, "sseclient-py": by_sseclient, "httpx-sse": by_httpx}


def follow(library, url):
    headers = {"Accept": "text/event-stream"}
    wait = 1.0
    while True:
        try:
            for event, last_id, data, retry in LIBRARIES[library](url, headers):
                print(json.dumps({"event": event, "id": last_id or "", "data": data}), flush=True)
                if last_id:
                    headers["Last-Event-ID"] = last_id
                if retry:
                    wait = int(retry) / 1000
        except (requests.RequestException, httpx.HTTPError):
            pass  # The gateway is away. What is not a failure of the network ends the program.
        time.sleep(wait)


follow(sys.argv[1], sys.argv[2])
