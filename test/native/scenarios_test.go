package native

import (
	"strconv"
	"time"
)

// scenarios are what every client does. Their names are those of the table in README.md.
var scenarios = []scenario{
	{"create", "create a bucket that HTTP uses", checkCreate, nil},
	{"create-again", "create a bucket that HTTP has created with the same settings",
		checkCreateAgain, createAgainOverHTTP},
	{"bind", "bind a bucket that HTTP has created, and be told of one that is missing",
		checkBind, nil},
	{"put-get", "put and get any bytes, the empty value too", checkPutGet, nil},
	{"get-revision", "get an earlier revision", checkGetRevision, nil},
	{"create-key", "create a key only if it has no value", checkCreateKey, nil},
	{"update", "update only if the revision is still this one", checkUpdate, nil},
	{"update-zero", "write only if the key was never written (revision 0)",
		checkUpdateZero, updateZeroOverHTTP},
	{"delete", "delete a key, leaving a marker", checkDelete, nil},
	{"delete-if", "delete only if the revision is still this one",
		checkDeleteIf, deleteIfOverHTTP},
	{"purge", "purge a key's earlier revisions", checkPurge, nil},
	{"keys", "list the keys without deleted ones", checkKeys, nil},
	{"history", "read the history of a key, with markers", checkHistory, nil},
	{"watch", "watch, with a mark behind the initial values", checkWatch, nil},
	{"watch-empty", "be told that there is no initial value to wait for",
		checkWatchEmpty, watchEmptyOverHTTP},
	{"watch-filter", "watch the keys of one filter", checkWatchFilter, nil},
	{"resume", "begin a watch at an earlier revision", checkResume, resumeOverHTTP},
	{"resume-told", "learn on resuming of a deleted key whose marker was removed meanwhile",
		checkResumeTold, resumeToldOverHTTP},
	{"odd-keys", "use keys such as a//b, = and a/./b", checkOddKeys, nil},
	{"long-keys", "use a key of 1,024 bytes", checkLongKeys, nil},
	{"large-values", "use values of 1,000,000 bytes", checkLargeValues, nil},
	{"race", "race with HTTP to update one key: one wins each round", checkRace, nil},
	{"counter", "count with HTTP in one key: no increment is lost", checkCounter, nil},
	{"limit-markers", "create a bucket with limit markers",
		checkLimitMarkers, limitMarkersOverHTTP},
	{"ttl-bucket", "create a bucket with a time to live", checkTTLBucket, nil},
	{"ttl-create", "create a key with a time to live", checkTTLCreate, ttlPutOverHTTP},
	{"ttl-create-again", "create a deleted key with a time to live",
		checkTTLCreateAgain, ttlCreateAgainOverHTTP},
	{"ttl-put", "put a value with a time to live", checkTTLPut, ttlPutOverHTTP},
	{"ttl-purge", "purge with a marker that expires", checkTTLPurge, ttlPurgeOverHTTP},
	{"expired-get", "get nothing where a value has expired, with limit markers",
		checkExpiredGet, expiredGetOverHTTP},
	{"expired-keys", "list the keys without those that have expired",
		checkExpiredKeys, expiredKeysOverHTTP},
	{"expired-watch", "see in a watch that a value has expired",
		checkExpiredWatch, expiredWatchOverHTTP},
}

// wait is how long the client waits for an update that a scenario expects not to come.
const wait = 500 * time.Millisecond

// milliseconds returns a duration as commands have it.
func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
