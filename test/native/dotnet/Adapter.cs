// The adapter for NATS.Net: it carries out the commands of test/native/README.md.
using System.Globalization;
using System.Reflection;
using NATS.Client.Core;
using NATS.Client.JetStream;
using NATS.Client.KeyValueStore;

await using var connection = new NatsConnection(new NatsOpts { Url = args[0] });
await connection.ConnectAsync();
var adapter = new Adapter(new NatsKVContext(new NatsJSContext(connection)));
while (Console.In.ReadLine() is { } line)
{
    Console.Out.WriteLine(await adapter.AnswerAsync(line.Split('\t')));
    Console.Out.Flush();
}

/// <summary>Has the bucket and the watch that the next commands are about.</summary>
internal sealed class Adapter(INatsKVContext buckets)
{
    private const int NoStream = 10059;
    private const string End = "end";

    private INatsKVStore? store;
    private IAsyncEnumerator<NatsKVEntry<byte[]>>? updates;
    private CancellationTokenSource? watching;
    private Task<bool>? pending;
    private TaskCompletionSource? nothing;
    private bool markDue, marked;

    private INatsKVStore Store => store ?? throw new InvalidOperationException("no bucket");

    public async Task<string> AnswerAsync(string[] command)
    {
        try
        {
            return await CarryOutAsync(command);
        }
        catch (Exception failure)
        {
            return failure switch
            {
                NatsKVKeyNotFoundException or NatsKVKeyDeletedException => "missing",
                NatsKVCreateException or NatsKVWrongLastRevisionException => "conflict",
                NatsJSApiException { Error.ErrCode: NoStream } => "missing",
                _ => "error\t" + failure.Message.ReplaceLineEndings(" "),
            };
        }
    }

    private static string Ok(params object[] fields) => string.Join('\t', ["ok", .. fields]);

    private static string Hex(byte[]? value) => Convert.ToHexString(value ?? []).ToLowerInvariant();

    private static byte[] Value(string text) => Convert.FromHexString(text);

    private static ulong Number(string text) => ulong.Parse(text, CultureInfo.InvariantCulture);

    private static TimeSpan Milliseconds(string text) => TimeSpan.FromMilliseconds(Number(text));

    private static string Operation(NatsKVEntry<byte[]> entry) => entry.Operation switch
    {
        NatsKVOperation.Put => "put",
        NatsKVOperation.Del => "delete",
        _ => "purge",
    };

    private static string Version() =>
        typeof(NatsKVContext).Assembly
            .GetCustomAttribute<AssemblyInformationalVersionAttribute>()!
            .InformationalVersion.Split('+')[0];

    private async Task<string> CarryOutAsync(string[] c) => c[0] switch
    {
        "client" => Ok("NATS.Net", Version()),
        "create" => await CreateAsync(c[1], Number(c[2]), Milliseconds(c[3]), Milliseconds(c[4])),
        "bind" => await BindAsync(c[1]),
        "status" => await StatusAsync(),
        "get" => await GetAsync(c[1], 0),
        "revision" => await GetAsync(c[1], Number(c[2])),
        "put" => Ok(await Store.PutAsync(c[1], Value(c[2]), Milliseconds(c[3]))),
        "create-key" => Ok(await Store.CreateAsync(c[1], Value(c[2]), Milliseconds(c[3]))),
        "update" => Ok(await Store.UpdateAsync(c[1], Value(c[2]), Number(c[3]))),
        "delete" => await DeleteAsync(c[1], Number(c[2])),
        "purge" => await PurgeAsync(c[1], Milliseconds(c[2])),
        "keys" => await KeysAsync(),
        "history" => await HistoryAsync(c[1]),
        "watch" => Watch(c[1], ulong.Parse(c[2])),
        "next" => await NextAsync(Milliseconds(c[1])),
        "unwatch" => await UnwatchAsync(),
        "increment" => await IncrementAsync(c[1], Number(c[2])),
        _ => "error\tunknown command " + c[0],
    };

    private async Task<string> CreateAsync(
        string bucket, ulong history, TimeSpan ttl, TimeSpan markers)
    {
        store = await buckets.CreateStoreAsync(new NatsKVConfig(bucket)
        {
            History = (long)history, MaxAge = ttl, LimitMarkerTTL = markers,
        });
        return Ok();
    }

    private async Task<string> BindAsync(string bucket)
    {
        store = await buckets.GetStoreAsync(bucket);
        return Ok();
    }

    private async Task<string> StatusAsync()
    {
        var config = (await Store.GetStatusAsync()).Info.Config;
        return Ok(config.MaxMsgsPerSubject, (long)config.MaxAge.TotalMilliseconds);
    }

    private async Task<string> GetAsync(string key, ulong revision)
    {
        var entry = await Store.GetEntryAsync<byte[]>(key, revision);
        return Ok(entry.Revision, Hex(entry.Value));
    }

    private async Task<string> DeleteAsync(string key, ulong revision)
    {
        await Store.DeleteAsync(key, new NatsKVDeleteOpts { Revision = revision });
        return Ok();
    }

    private async Task<string> PurgeAsync(string key, TimeSpan ttl)
    {
        if (ttl == TimeSpan.Zero)
        {
            await Store.PurgeAsync(key);
        }
        else
        {
            await Store.PurgeAsync(key, ttl);
        }

        return Ok();
    }

    private async Task<string> KeysAsync()
    {
        List<object> found = [];
        await foreach (var key in Store.GetKeysAsync())
        {
            found.Add(key);
        }

        return Ok([.. found]);
    }

    private async Task<string> HistoryAsync(string key)
    {
        List<object> found = [];
        await foreach (var entry in Store.HistoryAsync<byte[]>(key))
        {
            found.Add($"{Operation(entry)}:{entry.Revision}:{Hex(entry.Value)}");
        }

        return Ok([.. found]);
    }

    private string Watch(string filter, ulong revision)
    {
        var empty = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        nothing = empty;
        var options = new NatsKVWatchOpts
        {
            OnNoData = _ =>
            {
                empty.TrySetResult();
                return ValueTask.FromResult(false);
            },
            ResumeAtRevision = revision,
        };
        watching = new CancellationTokenSource();
        updates = Store.WatchAsync<byte[]>(filter, opts: options, cancellationToken: watching.Token)
            .GetAsyncEnumerator(watching.Token);
        markDue = marked = false;
        // The watch begins at the server with the first step of the enumeration.
        pending = updates.MoveNextAsync().AsTask();
        return Ok();
    }

    // The client tells the end of the initial values by OnNoData where there are none, and
    // otherwise by the first entry with a delta of 0.
    private async Task<string> NextAsync(TimeSpan patience)
    {
        if (markDue)
        {
            markDue = false;
            return End;
        }

        pending ??= updates!.MoveNextAsync().AsTask();
        var empty = marked ? new TaskCompletionSource().Task : nothing!.Task;
        var first = await Task.WhenAny(pending, empty, Task.Delay(patience));
        if (first == empty)
        {
            marked = true;
            return End;
        }

        if (first != pending)
        {
            return "timeout";
        }

        var open = await pending;
        pending = null;
        if (!open)
        {
            return "error\tthe watch ended";
        }

        var entry = updates!.Current;
        if (entry.Delta == 0 && !marked)
        {
            marked = markDue = true;
        }

        return Ok(Operation(entry), entry.Revision, entry.Key, Hex(entry.Value));
    }

    private async Task<string> UnwatchAsync()
    {
        await watching!.CancelAsync();
        try
        {
            // An enumerator cannot be disposed of while it takes a step.
            if (pending is not null)
            {
                await pending;
            }
        }
        catch (OperationCanceledException)
        {
        }

        pending = null;
        await updates!.DisposeAsync();
        watching.Dispose();
        return Ok();
    }

    /// <summary>Adds one to a number as often as told; answers how often it lost a race.</summary>
    private async Task<string> IncrementAsync(string key, ulong times)
    {
        var lost = 0;
        for (ulong done = 0; done < times;)
        {
            var entry = await Store.GetEntryAsync<string>(key);
            var more = (Number(entry.Value!) + 1).ToString(CultureInfo.InvariantCulture);
            try
            {
                await Store.UpdateAsync(key, more, entry.Revision);
                done++;
            }
            catch (NatsKVWrongLastRevisionException)
            {
                lost++;
            }
        }

        return Ok(lost);
    }
}
