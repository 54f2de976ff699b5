import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import kvgateway.ApiClient;
import kvgateway.ApiException;
import kvgateway.api.BucketsApi;
import kvgateway.api.KeysApi;
import kvgateway.api.ValuesApi;
import kvgateway.model.BucketConfig;
import kvgateway.model.Problem;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/**
 * Proves that the client which openapi-generator makes for Java works: one round trip. The stored
 * bytes are read a second time with java.net.http alone. The client takes values as files, sends
 * them as application/octet-stream, and leaves it to the caller to read the problem of a refusal.
 */
class RoundtripTest {
    private final String url = Objects.requireNonNull(System.getenv("KVGW_URL"), "set KVGW_URL");
    private final ApiClient client = new ApiClient().setBasePath(url);
    private final BucketsApi buckets = new BucketsApi(client);
    private final KeysApi keys = new KeysApi(client);
    private final ValuesApi values = new ValuesApi(client);
    private final String bucket = "clients-java-" + System.nanoTime();

    @Test
    void roundtrip() throws Exception {
        assertEquals(5, buckets.putBucket(bucket, null, new BucketConfig().history(5)).getHistory());
        byte[] binary = new byte[512];
        for (int i = 0; i < binary.length; i++) binary[i] = (byte) i;
        round("config/motd", "größer\r\n".getBytes(StandardCharsets.UTF_8));
        round("orders.17", "[{\"qty\": 2},\n 9007199254740993]".getBytes(StandardCharsets.UTF_8));
        round("images//logo", binary);
        assertEquals(List.of("config/motd", "images//logo", "orders.17"), names());
        listBuckets();
        values.deleteValue(bucket, "orders.17", null, null, null, null, null, null);
        refused(404, "key-deleted", () -> get("orders.17"));
        assertEquals(List.of("config/motd", "images//logo"), names());
        buckets.deleteBucket(bucket);
        refused(404, "bucket-not-found", () -> buckets.deleteBucket(bucket));
    }

    /** Stores a value twice, and once with an ETag that is not the last, which must be refused. */
    private void round(String key, byte[] value) throws Exception {
        String stale = put(key, value, null);
        stored(key, value);
        byte[] longer = Arrays.copyOf(value, value.length + 1);
        put(key, longer, stale);
        Problem problem = refused(412, "revision-mismatch", () -> put(key, value, stale));
        assertTrue(problem.getCurrentRevision() > 0);
        stored(key, longer);
    }

    /** Stores bytes, which the client takes from a file, and returns the ETag. */
    private String put(String key, byte[] value, String ifMatch) throws Exception {
        File file = File.createTempFile("value", null);
        try {
            Files.write(file.toPath(), value);
            return values
                    .putValueWithHttpInfo(bucket, key, null, ifMatch, null, null, null, null, file)
                    .getHeaders()
                    .get("ETag")
                    .get(0);
        } finally {
            file.delete();
        }
    }

    private byte[] get(String key) throws Exception {
        File file =
                values.getValue(
                        bucket, key, null, null, null, null, null, null, null, null, null);
        byte[] value = Files.readAllBytes(file.toPath());
        file.delete();
        return value;
    }

    /** Compares the bytes that are stored, as the client and as java.net.http read them. */
    private void stored(String key, byte[] value) throws Exception {
        assertArrayEquals(value, get(key));
        String path = "/buckets/" + bucket + "/keys/" + key.replace("/", "%2F");
        HttpRequest request = HttpRequest.newBuilder(URI.create(url + path)).build();
        HttpResponse<byte[]> plain =
                HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofByteArray());
        assertArrayEquals(value, plain.body());
    }

    private List<String> names() throws ApiException {
        return keys.listKeys(bucket, null, null, null, null, null).getKeys();
    }

    /** Lists the buckets in both forms. */
    private void listBuckets() throws ApiException {
        assertTrue(
                buckets.listBuckets(null, null, null).getBuckets().stream()
                        .anyMatch(one -> one.getBucket().equals(bucket) && one.getHistory() == 5));
        assertTrue(buckets.listBuckets(true, null, null).getNames().contains(bucket));
    }

    /** Carries out a call that must be refused, and returns the problem. */
    private static Problem refused(int status, String code, Executable call) throws Exception {
        ApiException refusal = assertThrows(ApiException.class, call);
        assertEquals(status, refusal.getCode());
        Problem problem = Problem.fromJson(refusal.getResponseBody());
        assertEquals(status, problem.getStatus());
        assertEquals("/problems/" + code, problem.getType());
        return problem;
    }
}
