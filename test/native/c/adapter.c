// The adapter for nats.c: it carries out the commands of test/native/README.md.
#include <inttypes.h>
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The bucket and the watcher that the next commands are about.
static jsCtx *js;
static kvStore *kv;
static kvWatcher *watcher;

// nats.c reports a refused compare-and-set with this code of JetStream in the text of its last
// error only.
static const char *wrongLastSequence = "10071";

static void fail(natsStatus status) {
    const char *text = nats_GetLastError(NULL);
    if (status == NATS_NOT_FOUND) {
        puts("missing");
    } else if (status == NATS_TIMEOUT) {
        puts("timeout");
    } else if (text != NULL && (strstr(text, wrongLastSequence) != NULL ||
                                strstr(text, "wrong last sequence") != NULL)) {
        puts("conflict");
    } else {
        printf("error\t%s: %s\n", natsStatus_GetText(status), text == NULL ? "" : text);
    }
}

static void cannot(const char *reason) { printf("cannot\t%s\n", reason); }

static int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

// unhex turns a value into its bytes, in place, and returns their number.
static int unhex(char *text) {
    int length = (int)strlen(text) / 2;
    for (int i = 0; i < length; i++)
        text[i] = (char)(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
    text[length] = 0;
    return length;
}

static void printHex(const void *value, int length) {
    const unsigned char *bytes = value;
    for (int i = 0; i < length; i++)
        printf("%02x", bytes[i]);
}

static const char *operation(kvEntry *entry) {
    switch (kvEntry_Operation(entry)) {
    case kvOp_Put: return "put";
    case kvOp_Delete: return "delete";
    case kvOp_Purge: return "purge";
    default: return "unknown";
    }
}

static void answerEntry(natsStatus status, kvEntry *entry) {
    if (status != NATS_OK) {
        fail(status);
        return;
    }
    // GetRevision gives markers too.
    if (kvEntry_Operation(entry) != kvOp_Put) {
        puts("missing");
    } else {
        printf("ok\t%" PRIu64 "\t", kvEntry_Revision(entry));
        printHex(kvEntry_Value(entry), kvEntry_ValueLen(entry));
        putchar('\n');
    }
    kvEntry_Destroy(entry);
}

static void answerRevision(natsStatus status, uint64_t revision) {
    if (status == NATS_OK)
        printf("ok\t%" PRIu64 "\n", revision);
    else
        fail(status);
}

static void answerStatus(natsStatus status) {
    if (status == NATS_OK)
        puts("ok");
    else
        fail(status);
}

static void create(char **args) {
    if (strcmp(args[3], "0") != 0) {
        cannot("it has no limit markers");
        return;
    }
    kvConfig config;
    kvConfig_Init(&config);
    config.Bucket = args[0];
    config.History = (uint8_t)atoi(args[1]);
    config.TTL = atoll(args[2]) * 1000000;
    kvStore_Destroy(kv);
    kv = NULL;
    answerStatus(js_CreateKeyValue(&kv, js, &config));
}

static void bind(char **args) {
    kvStore_Destroy(kv);
    kv = NULL;
    answerStatus(js_KeyValue(&kv, js, args[0]));
}

static void status(void) {
    kvStatus *found = NULL;
    natsStatus s = kvStore_Status(&found, kv);
    if (s != NATS_OK) {
        fail(s);
        return;
    }
    printf("ok\t%" PRId64 "\t%" PRId64 "\n", (int64_t)kvStatus_History(found),
           kvStatus_TTL(found) / 1000000);
    kvStatus_Destroy(found);
}

static void listKeys(void) {
    kvKeysList list;
    natsStatus s = kvStore_Keys(&list, kv, NULL);
    if (s != NATS_OK) {
        fail(s);
        return;
    }
    printf("ok");
    for (int i = 0; i < list.Count; i++)
        printf("\t%s", list.Keys[i]);
    putchar('\n');
    kvKeysList_Destroy(&list);
}

static void history(char **args) {
    kvEntryList list;
    natsStatus s = kvStore_History(&list, kv, args[0], NULL);
    if (s != NATS_OK) {
        fail(s);
        return;
    }
    printf("ok");
    for (int i = 0; i < list.Count; i++) {
        kvEntry *entry = list.Entries[i];
        printf("\t%s:%" PRIu64 ":", operation(entry), kvEntry_Revision(entry));
        printHex(kvEntry_Value(entry), kvEntry_ValueLen(entry));
    }
    putchar('\n');
    kvEntryList_Destroy(&list);
}

static void next(char **args) {
    kvEntry *entry = NULL;
    natsStatus s = kvWatcher_Next(&entry, watcher, atoll(args[0]));
    if (s != NATS_OK) {
        fail(s);
    } else if (entry == NULL) {
        puts("end");
    } else {
        printf("ok\t%s\t%" PRIu64 "\t%s\t", operation(entry), kvEntry_Revision(entry),
               kvEntry_Key(entry));
        printHex(kvEntry_Value(entry), kvEntry_ValueLen(entry));
        putchar('\n');
        kvEntry_Destroy(entry);
    }
}

static void unwatch(void) {
    natsStatus s = kvWatcher_Stop(watcher);
    kvWatcher_Destroy(watcher);
    watcher = NULL;
    answerStatus(s);
}

// increment adds one to the number under a key as often as told, by compare-and-set, and answers
// how often it lost a race.
static void increment(char **args) {
    int lost = 0;
    for (int done = 0; done < atoi(args[1]);) {
        kvEntry *entry = NULL;
        natsStatus s = kvStore_Get(&entry, kv, args[0]);
        if (s != NATS_OK) {
            fail(s);
            return;
        }
        char number[32];
        snprintf(number, sizeof number, "%d", atoi(kvEntry_ValueString(entry)) + 1);
        uint64_t revision = kvEntry_Revision(entry);
        kvEntry_Destroy(entry);
        s = kvStore_UpdateString(&revision, kv, args[0], number, revision);
        if (s == NATS_OK) {
            done++;
        } else if (strstr(nats_GetLastError(NULL), "wrong last sequence") != NULL) {
            lost++;
        } else {
            fail(s);
            return;
        }
    }
    printf("ok\t%d\n", lost);
}

static void carryOut(char *name, char **args) {
    uint64_t revision = 0;
    kvEntry *entry = NULL;
    if (strcmp(name, "client") == 0) {
        printf("ok\tnats.c\t%s\n", nats_GetVersion());
    } else if (strcmp(name, "create") == 0) {
        create(args);
    } else if (strcmp(name, "bind") == 0) {
        bind(args);
    } else if (strcmp(name, "status") == 0) {
        status();
    } else if (strcmp(name, "get") == 0) {
        natsStatus s = kvStore_Get(&entry, kv, args[0]);
        answerEntry(s, entry);
    } else if (strcmp(name, "revision") == 0) {
        natsStatus s = kvStore_GetRevision(&entry, kv, args[0], strtoull(args[1], NULL, 10));
        answerEntry(s, entry);
    } else if (strcmp(name, "put") == 0) {
        if (strcmp(args[2], "0") != 0) {
            cannot("kvStore_Put takes no time to live");
            return;
        }
        natsStatus s = kvStore_Put(&revision, kv, args[0], args[1], unhex(args[1]));
        answerRevision(s, revision);
    } else if (strcmp(name, "create-key") == 0) {
        if (strcmp(args[2], "0") != 0) {
            cannot("kvStore_Create takes no time to live");
            return;
        }
        natsStatus s = kvStore_Create(&revision, kv, args[0], args[1], unhex(args[1]));
        answerRevision(s, revision);
    } else if (strcmp(name, "update") == 0) {
        natsStatus s = kvStore_Update(&revision, kv, args[0], args[1], unhex(args[1]),
                                      strtoull(args[2], NULL, 10));
        answerRevision(s, revision);
    } else if (strcmp(name, "delete") == 0) {
        if (strcmp(args[1], "0") != 0) {
            cannot("kvStore_Delete takes no revision");
            return;
        }
        answerStatus(kvStore_Delete(kv, args[0]));
    } else if (strcmp(name, "purge") == 0) {
        if (strcmp(args[1], "0") != 0) {
            cannot("kvStore_Purge takes no time to live");
            return;
        }
        answerStatus(kvStore_Purge(kv, args[0], NULL));
    } else if (strcmp(name, "keys") == 0) {
        listKeys();
    } else if (strcmp(name, "history") == 0) {
        history(args);
    } else if (strcmp(name, "watch") == 0) {
        if (strcmp(args[1], "0") != 0) {
            cannot("kvWatchOptions has no revision to begin at");
            return;
        }
        answerStatus(kvStore_Watch(&watcher, kv, args[0], NULL));
    } else if (strcmp(name, "next") == 0) {
        next(args);
    } else if (strcmp(name, "unwatch") == 0) {
        unwatch();
    } else if (strcmp(name, "increment") == 0) {
        increment(args);
    } else {
        printf("error\tunknown command %s\n", name);
    }
}

int main(int argc, char **argv) {
    natsConnection *connection = NULL;
    natsStatus s = natsConnection_ConnectTo(&connection, argc > 1 ? argv[1] : "");
    if (s == NATS_OK)
        s = natsConnection_JetStream(&js, connection, NULL);
    if (s != NATS_OK) {
        fprintf(stderr, "connect: %s\n", natsStatus_GetText(s));
        return 1;
    }
    char *line = NULL;
    size_t size = 0;
    for (ssize_t length; (length = getline(&line, &size, stdin)) > 0;) {
        line[length - 1] = 0;
        char *fields[8] = {NULL};
        char *rest = line;
        for (int i = 0; i < 8 && rest != NULL; i++)
            fields[i] = strsep(&rest, "\t");
        carryOut(fields[0], fields + 1);
        fflush(stdout);
    }
    free(line);
    kvStore_Destroy(kv);
    jsCtx_Destroy(js);
    natsConnection_Destroy(connection);
    nats_Close();
    return 0;
}
