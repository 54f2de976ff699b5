package innocent

import (
	"math/rand/v2"
	"strings"
)

// An operation is a form of request, and how often it is made.
type operation struct {
	name   string
	weight int
	route  string // The method and path in the contract.
	run    func(*turn)
}

const (
	jsonType  = "application/json"
	linesType = "application/x-ndjson"
	textType  = "text/plain"
	eventType = "text/event-stream"
)

// operations has every route that reads, each form of a watch and of a read of many keys, and the
// writes.
var operations = []operation{
	{"get", 20, "GET /buckets/{bucket}/keys/{key}", getValue("")},
	{"get-any", 4, "GET /buckets/{bucket}/keys/{key}", getValue("?consistency=any")},
	{"head", 3, "HEAD /buckets/{bucket}/keys/{key}", headValue},
	{"get-304", 3, "GET /buckets/{bucket}/keys/{key}", unchanged},
	{"get-range", 3, "GET /buckets/{bucket}/keys/{key}", getRange},
	{"get-min-revision", 3, "GET /buckets/{bucket}/keys/{key}", newEnough},
	{"entry", 5, "GET /buckets/{bucket}/entries/{key}", getEntry},
	{"history", 4, "GET /buckets/{bucket}/history/{key}", history},
	{"multi-get", 4, "GET /buckets/{bucket}/entries", multiGet},
	reading("entries", 2,
		"/buckets/{bucket}/entries?filter=innocent.*&values=none", jsonType, keysEach),
	reading("entries-values", 2,
		"/buckets/{bucket}/entries?filter=innocent.k2&filter=innocent.k3", jsonType, 2),
	reading("export", 2, "/buckets/{bucket}/entries?filter=innocent.*", linesType, keysEach),
	reading("keys", 3, "/buckets/{bucket}/keys?filter=innocent.*", jsonType, keysEach),
	reading("keys-lines", 2, "/buckets/{bucket}/keys?filter=innocent.*", linesType, keysEach),
	reading("keys-text", 2, "/buckets/{bucket}/keys?prefix=innocent.k", textType, keysEach),
	reading("markers", 2, "/buckets/{bucket}/markers?filter=innocent.>", jsonType, 0),
	reading("bucket", 3, "/buckets/{bucket}", jsonType, 0),
	reading("buckets", 2, "/buckets", jsonType, 0),
	reading("ready", 2, "/readyz", jsonType, 0),
	reading("health", 1, "/healthz", jsonType, 0),
	reading("live", 1, "/livez", jsonType, 0),
	reading("index", 1, "/", jsonType, 0),
	reading("version", 1, "/version", jsonType, 0),
	reading("access", 1, "/access", jsonType, 0),
	reading("status", 1, "/status", jsonType, 0),
	reading("contract", 1, "/openapi.json", jsonType, 0),
	reading("contract-yaml", 1, "/openapi.yaml", "*/*", 0),
	{"problem", 1, "GET /problems/{code}", reads("/problems/busy", jsonType, 0)},
	reading("docs", 1, "/docs", "text/html", 0),
	{"docs-page", 1, "GET /docs/{page}", reads("/docs/errors", "text/html", 0)},
	reading("console", 1, "/console", "text/html", 0),
	{"console-file", 1, "GET /console/{file}", reads("/console/console.js", "*/*", 0)},
	reading("overview", 1, "/llms.txt", textType, 0),
	opening("watch", 4, "/buckets/{bucket}/watch?filter=innocent.*&values=none", eventType),
	opening("watch-lines", 2,
		"/buckets/{bucket}/watch?filter=innocent.k2&filter=innocent.k3", linesType),
	opening("watch-several", 2,
		"/watch?watch=own:innocent.k4&watch=attacked:innocent.k4", eventType),
	{"put", 10, "PUT /buckets/{bucket}/keys/{key}", put},
	{"long-poll-put", 4, "GET /buckets/{bucket}/keys/{key}", longPoll},
	{"create-delete", 3, "DELETE /buckets/{bucket}/keys/{key}", createAndDelete},
	{"transaction", 5, "POST /buckets/{bucket}/transactions", transaction},
	{"import", 2, "POST /buckets/{bucket}/entries", importLines},
}

// reading is a GET of a path whose answer has at least so many keys of the client.
func reading(name string, weight int, path, accept string, atLeast int) operation {
	return operation{name, weight, routeOf(path), reads(path, accept, atLeast)}
}

// opening is a watch that ends when its initial state has come.
func opening(name string, weight int, path, accept string) operation {
	return operation{name, weight, routeOf(path), opens(path, accept)}
}

func routeOf(path string) string {
	path, _, _ = strings.Cut(path, "?")
	return "GET " + path
}

// draw chooses an operation by its weight.
func draw(random *rand.Rand) operation {
	sum := 0
	for _, o := range operations {
		sum += o.weight
	}
	n := random.IntN(sum)
	for _, o := range operations {
		if n -= o.weight; n < 0 {
			return o
		}
	}
	return operations[0]
}
