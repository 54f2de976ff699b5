package native

// A client is a library of NATS for one language, and what is known of it.
type client struct {
	name     string   // as test/native/run takes it
	language string   // as the README has it
	library  string   // its name where the language's packages are found
	version  string   // of which cannot speaks
	command  []string // starts its adapter; the address of NATS is the last argument
	// cannot has the scenarios that the client cannot do, with the reason. A client that can do
	// one of these fails the test as much as one that cannot do another.
	cannot map[string]string
	// unmeasured is set while no run has shown what the client can do.
	unmeasured bool
}

// Reasons that are found while a scenario runs.
const (
	otherSettings  = "its settings are not those of the other clients: the name is taken"
	endWithLast    = "the end of the initial values is told with the last of them only"
	ttlDropped     = "the time to live is dropped where the key has a delete marker"
	markerRead     = "the marker of an expired value is read as an empty value"
	expiredListed  = "keys that have expired are listed"
	markerReported = "the marker of an expired value is reported as an empty value"
	notTold        = "it goes on as if nothing had been removed"
)

var clients = []*client{
	{
		name: "go", language: "Go", library: "nats.go", version: "1.55.0",
		command: []string{"../../bin/native/go"},
		cannot: map[string]string{
			"resume-told": notTold,
			"ttl-put":     "Put takes no time to live",
		},
	},
	{
		name: "js", language: "JavaScript", library: "@nats-io/kv", version: "3.4.0",
		command: []string{"node", "js/adapter.js"},
		cannot: map[string]string{
			"update-zero":  "update refuses revision 0",
			"watch-empty":  endWithLast,
			"resume-told":  notTold,
			"ttl-put":      "put takes no time to live",
			"expired-keys": expiredListed,
		},
	},
	{
		name: "python", language: "Python", library: "nats-py", version: "2.16.0",
		command: []string{"python/.venv/bin/python", "python/adapter.py"},
		cannot: map[string]string{
			"create-again": otherSettings,
			"resume":       "watch takes no revision to begin at",
			"resume-told":  "watch takes no revision to begin at",
			"ttl-put":      "put takes no time to live",
			"expired-get":  markerRead,
		},
	},
	{
		name: "java", language: "Java", library: "jnats", version: "2.26.2",
		command: []string{"java", "-cp", "java/target/classes:java/target/dependency/*", "Adapter"},
		cannot: map[string]string{
			"resume-told": notTold,
			"ttl-put":     "put takes no time to live",
		},
	},
	{
		name: "c", language: "C", library: "nats.c", version: "3.4.1",
		command: []string{"../../bin/native/c"},
		cannot: map[string]string{
			"delete-if":        "kvStore_Delete takes no revision",
			"resume":           "kvWatchOptions has no revision to begin at",
			"resume-told":      "kvWatchOptions has no revision to begin at",
			"limit-markers":    "it has no limit markers",
			"ttl-create":       "kvStore_Create takes no time to live",
			"ttl-create-again": "kvStore_Create takes no time to live",
			"ttl-put":          "kvStore_Put takes no time to live",
			"ttl-purge":        "kvStore_Purge takes no time to live",
			"expired-get":      markerRead,
			"expired-keys":     expiredListed,
			"expired-watch":    markerReported,
		},
	},
	{
		name: "rust", language: "Rust", library: "async-nats", version: "0.51.0",
		command: []string{"rust/target/debug/adapter"},
		cannot: map[string]string{
			"watch-empty":      endWithLast,
			"resume-told":      notTold,
			"ttl-create-again": ttlDropped,
			"ttl-put":          "put takes no time to live",
		},
	},
	{
		name: "dotnet", language: ".NET", library: "NATS.Net", version: "3.3.2",
		command:    []string{"dotnet", "dotnet/bin/Release/net8.0/adapter.dll"},
		unmeasured: true,
	},
}

// findClient returns the client of that name, or nil.
func findClient(name string) *client {
	for _, c := range clients {
		if c.name == name {
			return c
		}
	}
	return nil
}
