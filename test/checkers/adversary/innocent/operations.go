package innocent

import "math/rand/v2"

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
	{"get", 20, "GET /buckets/{bucket}/keys/{key}",
		getValue("")},
	{"get-any", 4, "GET /buckets/{bucket}/keys/{key}",
		getValue("?consistency=any")},
	{"head", 3, "HEAD /buckets/{bucket}/keys/{key}",
		headValue},
	{"get-304", 3, "GET /buckets/{bucket}/keys/{key}",
		unchanged},
	{"get-range", 3, "GET /buckets/{bucket}/keys/{key}",
		getRange},
	{"get-min-revision", 3, "GET /buckets/{bucket}/keys/{key}",
		newEnough},
	{"entry", 5, "GET /buckets/{bucket}/entries/{key}",
		getEntry},
	{"history", 4, "GET /buckets/{bucket}/history/{key}",
		history},
	{"multi-get", 4, "GET /buckets/{bucket}/entries",
		multiGet},
	{"entries", 2, "GET /buckets/{bucket}/entries",
		reads("/buckets/{bucket}/entries?filter=innocent.*&values=none", jsonType, keysEach)},
	{"entries-values", 2, "GET /buckets/{bucket}/entries",
		reads("/buckets/{bucket}/entries?filter=innocent.k2&filter=innocent.k3", jsonType, 2)},
	{"export", 2, "GET /buckets/{bucket}/entries",
		reads("/buckets/{bucket}/entries?filter=innocent.*", linesType, keysEach)},
	{"keys", 3, "GET /buckets/{bucket}/keys",
		reads("/buckets/{bucket}/keys?filter=innocent.*", jsonType, keysEach)},
	{"keys-lines", 2, "GET /buckets/{bucket}/keys",
		reads("/buckets/{bucket}/keys?filter=innocent.*", linesType, keysEach)},
	{"keys-text", 2, "GET /buckets/{bucket}/keys",
		reads("/buckets/{bucket}/keys?prefix=innocent.k", textType, keysEach)},
	{"markers", 2, "GET /buckets/{bucket}/markers",
		reads("/buckets/{bucket}/markers?filter=innocent.>", jsonType, 0)},
	{"bucket", 3, "GET /buckets/{bucket}",
		reads("/buckets/{bucket}", jsonType, 0)},
	{"buckets", 2, "GET /buckets",
		reads("/buckets", jsonType, 0)},
	{"ready", 2, "GET /readyz",
		reads("/readyz", jsonType, 0)},
	{"health", 1, "GET /healthz",
		reads("/healthz", jsonType, 0)},
	{"version", 1, "GET /version",
		reads("/version", jsonType, 0)},
	{"contract", 1, "GET /openapi.json",
		reads("/openapi.json", jsonType, 0)},
	{"contract-yaml", 1, "GET /openapi.yaml",
		reads("/openapi.yaml", "*/*", 0)},
	{"problem", 1, "GET /problems/{code}",
		reads("/problems/busy", jsonType, 0)},
	{"watch", 4, "GET /buckets/{bucket}/watch",
		opens("/buckets/{bucket}/watch?filter=innocent.*&values=none", eventType)},
	{"watch-lines", 2, "GET /buckets/{bucket}/watch",
		opens("/buckets/{bucket}/watch?filter=innocent.k2&filter=innocent.k3", linesType)},
	{"watch-several", 2, "GET /watch",
		opens("/watch?watch=own:innocent.k4&watch=attacked:innocent.k4", eventType)},
	{"put", 10, "PUT /buckets/{bucket}/keys/{key}",
		put},
	{"long-poll-put", 4, "GET /buckets/{bucket}/keys/{key}",
		longPoll},
	{"create-delete", 3, "DELETE /buckets/{bucket}/keys/{key}",
		createAndDelete},
	{"transaction", 5, "POST /buckets/{bucket}/transactions",
		transaction},
	{"import", 2, "POST /buckets/{bucket}/entries",
		importLines},
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
