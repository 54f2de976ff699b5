"""Proves that the client which openapi-generator makes for Python works: one round trip.

The stored bytes are read a second time with urllib alone, so that a client which changes them on
both ways is found out.
"""

import os
import time
import unittest
import urllib.parse
import urllib.request

import kvgateway

URL = os.environ["KVGW_URL"]

# One value of each kind: text, JSON whose white space must stay, and bytes that are not UTF-8. The
# slashes of the key must arrive as they are. The JSON is stored without its type, since the client
# encodes the body of a request of that type once more.
VALUES = [
    ("config/motd", "text/plain", "größer\r\n".encode()),
    ("orders.17", "application/octet-stream", b'[{"qty": 2},\n 9007199254740993]'),
    ("images//logo", "application/octet-stream", bytes(range(256)) * 2),
]


class Roundtrip(unittest.TestCase):
    def setUp(self):
        client = kvgateway.ApiClient(kvgateway.Configuration(host=URL))
        self.buckets = kvgateway.BucketsApi(client)
        self.keys = kvgateway.KeysApi(client)
        self.values = kvgateway.ValuesApi(client)
        self.bucket = f"clients-python-{time.time_ns()}"

    def test_roundtrip(self):
        created = self.buckets.put_bucket(
            self.bucket, bucket_config=kvgateway.BucketConfig(history=5)
        )
        self.assertEqual(created.history, 5)
        for key, content_type, value in VALUES:
            etag = self.put(key, content_type, value)
            self.stored(key, content_type, value)
            self.put(key, content_type, value + b" ", if_match=etag)
            self.conflict(key, stale=etag)
            self.stored(key, content_type, value + b" ")
        self.assertEqual(self.names(), ["config/motd", "images//logo", "orders.17"])
        self.list_buckets()
        self.delete("orders.17")
        self.assertEqual(self.names(), ["config/motd", "images//logo"])
        self.buckets.delete_bucket(self.bucket)
        self.refused(404, "bucket-not-found", self.buckets.delete_bucket, self.bucket)

    def put(self, key, content_type, value, **conditions):
        """Stores bytes and returns the ETag. `_content_type` is an argument of every operation."""
        written = self.values.put_value_with_http_info(
            self.bucket, key, body=value, _content_type=content_type, **conditions
        )
        self.assertEqual(written.data.key, key)
        # The names of headers are those of the wire, in Go's spelling over HTTP/1.1.
        return {name.lower(): text for name, text in written.headers.items()}["etag"]

    def stored(self, key, content_type, value):
        """Compares the bytes that are stored, as the client and as urllib read them."""
        self.assertEqual(bytes(self.values.get_value(self.bucket, key)), value)
        quoted = urllib.parse.quote(key, safe="")
        with urllib.request.urlopen(f"{URL}/buckets/{self.bucket}/keys/{quoted}") as plain:
            self.assertEqual(plain.read(), value)
            self.assertEqual(plain.headers["Content-Type"], content_type)

    def refused(self, status, code, call, *arguments, **options):
        """Carries out a call that must be refused with a problem, and returns the problem."""
        with self.assertRaises(kvgateway.ApiException) as refused:
            call(*arguments, **options)
        problem = refused.exception.data
        self.assertIsInstance(problem, kvgateway.Problem)
        self.assertEqual(refused.exception.status, status)
        self.assertEqual(problem.status, status)
        self.assertEqual(problem.type, f"/problems/{code}")
        return problem

    def conflict(self, key, stale):
        """Writes with an ETag that is not the last."""
        put = self.values.put_value
        problem = self.refused(
            412, "revision-mismatch", put, self.bucket, key, body=b"lost", if_match=stale
        )
        self.assertGreater(problem.current_revision, 0)

    def names(self):
        return self.keys.list_keys(self.bucket).keys

    def list_buckets(self):
        """Lists the buckets in both forms."""
        full = {bucket.bucket: bucket for bucket in self.buckets.list_buckets().buckets}
        self.assertEqual(full[self.bucket].history, 5)
        self.assertEqual(full[self.bucket].status.values, 6)
        self.assertIn(self.bucket, self.buckets.list_buckets(names=True).names)

    def delete(self, key):
        self.values.delete_value(self.bucket, key)
        self.refused(404, "key-deleted", self.values.get_value, self.bucket, key)


if __name__ == "__main__":
    unittest.main()
