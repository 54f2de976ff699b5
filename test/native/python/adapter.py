"""The adapter for nats-py: it carries out the commands of test/native/README.md."""

import asyncio
import sys
from importlib.metadata import version

import nats
from nats.errors import TimeoutError as NoUpdate
from nats.js.api import KeyValueConfig
from nats.js.errors import (
    BucketNotFoundError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    NoKeysError,
    NotFoundError,
    APIError,
)

OPERATIONS = {None: "put", "DEL": "delete", "PURGE": "purge"}
WRONG_LAST_SEQUENCE = 10071


class Cannot(Exception):
    """What the client has no method or option for."""


def seconds(milliseconds):
    """Returns the seconds of a number of milliseconds, or None for 0."""
    return int(milliseconds) / 1000 or None


class Adapter:
    """Has the bucket and the watcher that the next commands are about."""

    def __init__(self, js):
        self.js = js
        self.kv = None
        self.watcher = None

    async def client(self):
        return "nats-py", version("nats-py")

    async def create(self, bucket, history, ttl, markers):
        config = KeyValueConfig(
            bucket=bucket,
            history=int(history),
            ttl=seconds(ttl),
            limit_marker_ttl=seconds(markers),
        )
        self.kv = await self.js.create_key_value(config)
        return ()

    async def bind(self, bucket):
        self.kv = await self.js.key_value(bucket)
        return ()

    async def status(self):
        status = await self.kv.status()
        return status.history, int((status.ttl or 0) * 1000)

    async def get(self, key):
        entry = await self.kv.get(key)
        return entry.revision, (entry.value or b"").hex()

    async def revision(self, key, revision):
        entry = await self.kv.get(key, revision=int(revision))
        return entry.revision, (entry.value or b"").hex()

    async def put(self, key, value, ttl):
        if ttl != "0":
            raise Cannot("put takes no time to live")
        return (await self.kv.put(key, bytes.fromhex(value)),)

    async def create_key(self, key, value, ttl):
        return (await self.kv.create(key, bytes.fromhex(value), msg_ttl=seconds(ttl)),)

    async def update(self, key, value, revision):
        return (await self.kv.update(key, bytes.fromhex(value), last=int(revision)),)

    async def delete(self, key, revision):
        await self.kv.delete(key, last=int(revision) or None)
        return ()

    async def purge(self, key, ttl):
        await self.kv.purge(key, msg_ttl=seconds(ttl))
        return ()

    async def keys(self):
        try:
            return await self.kv.keys()
        except NoKeysError:
            return ()

    async def history(self, key):
        try:
            entries = await self.kv.history(key)
        except NoKeysError:
            return ()
        return [
            f"{OPERATIONS[e.operation]}:{e.revision}:{(e.value or b'').hex()}" for e in entries
        ]

    async def watch(self, filter, revision):
        if revision != "0":
            raise Cannot("watch takes no revision to begin at")
        self.watcher = await self.kv.watch(filter)
        return ()

    async def next(self, patience):
        entry = await self.watcher.updates(timeout=seconds(patience))
        if entry is None:
            return None
        value = (entry.value or b"").hex()
        return OPERATIONS[entry.operation], entry.revision, entry.key, value

    async def unwatch(self):
        await self.watcher.stop()
        return ()

    async def increment(self, key, times):
        """Adds one to the number under key as often as told, by compare-and-set, and answers how
        often it lost a race."""
        lost = done = 0
        while done < int(times):
            entry = await self.kv.get(key)
            try:
                await self.kv.update(key, str(int(entry.value) + 1).encode(), last=entry.revision)
                done += 1
            except KeyWrongLastSequenceError:
                lost += 1
        return (lost,)


async def answer(adapter, line):
    """Carries out one command and returns the line that answers it."""
    name, *args = line.split("\t")
    try:
        fields = await getattr(adapter, name.replace("-", "_"))(*args)
    except (KeyNotFoundError, BucketNotFoundError, NotFoundError):
        return "missing"
    except KeyWrongLastSequenceError:
        return "conflict"
    except NoUpdate:
        return "timeout"
    except Cannot as err:
        return f"cannot\t{err}"
    except APIError as err:
        if err.err_code == WRONG_LAST_SEQUENCE:
            return "conflict"
        return f"error\t{err}"
    except Exception as err:  # whatever it is, the runner reports it
        return f"error\t{type(err).__name__}: {err}".replace("\n", " ")
    if fields is None:
        return "end"
    return "\t".join(["ok", *map(str, fields)])


async def main():
    connection = await nats.connect(sys.argv[1])
    adapter = Adapter(connection.jetstream())
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(await answer(adapter, line.rstrip("\n")), flush=True)
    await connection.close()


asyncio.run(main())
