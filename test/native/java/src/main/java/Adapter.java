import io.nats.client.Connection;
import io.nats.client.JetStreamApiException;
import io.nats.client.KeyValue;
import io.nats.client.KeyValueManagement;
import io.nats.client.MessageTtl;
import io.nats.client.Nats;
import io.nats.client.api.KeyValueConfiguration;
import io.nats.client.api.KeyValueEntry;
import io.nats.client.api.KeyValueOperation;
import io.nats.client.api.KeyValueWatcher;
import io.nats.client.impl.NatsKeyValueWatchSubscription;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** The adapter for jnats: it carries out the commands of test/native/README.md. */
public final class Adapter {
    private static final int WRONG_LAST_SEQUENCE = 10071;
    private static final int NO_STREAM = 10059;

    /** Thrown for what the client has no method or option for. */
    private static final class Cannot extends Exception {
        Cannot(String reason) {
            super(reason);
        }
    }

    private final Connection connection;
    private final KeyValueManagement buckets;
    private KeyValue kv;
    private NatsKeyValueWatchSubscription watch;

    /** What the watch has told; an empty one is the end of the initial values. */
    private final LinkedBlockingQueue<Optional<KeyValueEntry>> updates =
            new LinkedBlockingQueue<>();

    private Adapter(Connection connection) throws Exception {
        this.connection = connection;
        buckets = connection.keyValueManagement();
    }

    public static void main(String[] args) throws Exception {
        try (Connection connection = Nats.connect(args[0])) {
            Adapter adapter = new Adapter(connection);
            BufferedReader lines = new BufferedReader(
                    new InputStreamReader(System.in, StandardCharsets.US_ASCII));
            PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
            for (String line; (line = lines.readLine()) != null; ) {
                out.println(adapter.answer(line.split("\t", -1)));
            }
        }
    }

    private String answer(String[] command) {
        try {
            return carryOut(command);
        } catch (Cannot refused) {
            return "cannot\t" + refused.getMessage();
        } catch (Exception failure) {
            return switch (code(failure)) {
                case WRONG_LAST_SEQUENCE -> "conflict";
                case NO_STREAM -> "missing";
                default -> "error\t" + failure.toString().replace('\n', ' ');
            };
        }
    }

    /** Returns JetStream's code of a failure, which can be behind an IOException, or 0. */
    private static int code(Exception failure) {
        Throwable cause = failure instanceof IOException ? failure.getCause() : failure;
        return cause instanceof JetStreamApiException api ? api.getApiErrorCode() : 0;
    }

    private String carryOut(String[] c) throws Exception {
        return switch (c[0]) {
            case "client" -> ok("jnats", Nats.CLIENT_VERSION);
            case "create" -> create(c[1], c[2], c[3], c[4]);
            case "bind" -> bind(c[1]);
            case "status" -> ok(kv.getStatus().getMaxHistoryPerKey(),
                    kv.getStatus().getTtl().toMillis());
            case "get" -> entry(kv.get(c[1]));
            case "revision" -> entry(kv.get(c[1], Long.parseLong(c[2])));
            case "put" -> put(c[1], c[2], c[3]);
            case "create-key" -> createKey(c[1], c[2], c[3]);
            case "update" -> ok(kv.update(c[1], value(c[2]), Long.parseLong(c[3])));
            case "delete" -> delete(c[1], Long.parseLong(c[2]));
            case "purge" -> purge(c[1], c[2]);
            case "keys" -> ok(kv.keys().toArray());
            case "history" -> history(c[1]);
            case "watch" -> watch(c[1], Long.parseLong(c[2]));
            case "next" -> next(Long.parseLong(c[1]));
            case "unwatch" -> unwatch();
            case "increment" -> increment(c[1], Integer.parseInt(c[2]));
            default -> "error\tunknown command " + c[0];
        };
    }

    private String create(String bucket, String history, String ttl, String markers)
            throws Exception {
        KeyValueConfiguration.Builder config = KeyValueConfiguration.builder(bucket)
                .maxHistoryPerKey(Integer.parseInt(history))
                .ttl(Duration.ofMillis(Long.parseLong(ttl)));
        if (!markers.equals("0")) {
            config.limitMarker(Long.parseLong(markers));
        }
        buckets.create(config.build());
        kv = connection.keyValue(bucket);
        return ok();
    }

    private String bind(String bucket) throws Exception {
        kv = connection.keyValue(bucket);
        kv.getStatus(); // keyValue alone asks for nothing
        return ok();
    }

    private String put(String key, String text, String ttl) throws Exception {
        if (!ttl.equals("0")) {
            throw new Cannot("put takes no time to live");
        }
        return ok(kv.put(key, value(text)));
    }

    private String createKey(String key, String text, String ttl) throws Exception {
        return ok(ttl.equals("0") ? kv.create(key, value(text))
                : kv.create(key, value(text), timeToLive(ttl)));
    }

    private String delete(String key, long revision) throws Exception {
        if (revision == 0) {
            kv.delete(key);
        } else {
            kv.delete(key, revision);
        }
        return ok();
    }

    private String purge(String key, String ttl) throws Exception {
        if (ttl.equals("0")) {
            kv.purge(key);
        } else {
            kv.purge(key, timeToLive(ttl));
        }
        return ok();
    }

    private String history(String key) throws Exception {
        List<String> fields = new ArrayList<>();
        for (KeyValueEntry e : kv.history(key)) {
            fields.add(operation(e) + ":" + e.getRevision() + ":" + text(e));
        }
        return ok(fields.toArray());
    }

    private String watch(String filter, long revision) throws Exception {
        updates.clear();
        KeyValueWatcher watcher = new KeyValueWatcher() {
            @Override
            public void watch(KeyValueEntry entry) {
                updates.add(Optional.of(entry));
            }

            @Override
            public void endOfData() {
                updates.add(Optional.empty());
            }
        };
        watch = revision == 0 ? kv.watch(filter, watcher) : kv.watch(filter, watcher, revision);
        return ok();
    }

    private String next(long patience) throws Exception {
        Optional<KeyValueEntry> update = updates.poll(patience, TimeUnit.MILLISECONDS);
        if (update == null) {
            return "timeout";
        }
        return update.map(e -> ok(operation(e), e.getRevision(), e.getKey(), text(e)))
                .orElse("end");
    }

    private String unwatch() throws Exception {
        watch.unsubscribe();
        return ok();
    }

    /** Adds one to a number as often as told, and answers how often it lost a race. */
    private String increment(String key, int times) throws Exception {
        int lost = 0;
        for (int done = 0; done < times; ) {
            KeyValueEntry e = kv.get(key);
            String more = Long.toString(e.getValueAsLong() + 1);
            try {
                kv.update(key, more, e.getRevision());
                done++;
            } catch (JetStreamApiException failure) {
                if (failure.getApiErrorCode() != WRONG_LAST_SEQUENCE) {
                    throw failure;
                }
                lost++;
            }
        }
        return ok(lost);
    }

    private static String entry(KeyValueEntry e) {
        return e == null ? "missing" : ok(e.getRevision(), text(e));
    }

    private static String operation(KeyValueEntry e) {
        return e.getOperation() == KeyValueOperation.PUT ? "put"
                : e.getOperation() == KeyValueOperation.DELETE ? "delete" : "purge";
    }

    private static String text(KeyValueEntry e) {
        return e.getValue() == null ? "" : HexFormat.of().formatHex(e.getValue());
    }

    private static byte[] value(String text) {
        return HexFormat.of().parseHex(text);
    }

    private static MessageTtl timeToLive(String milliseconds) {
        return MessageTtl.custom(milliseconds + "ms");
    }

    private static String ok(Object... fields) {
        StringBuilder line = new StringBuilder("ok");
        for (Object field : fields) {
            line.append('\t').append(field);
        }
        return line.toString();
    }
}
