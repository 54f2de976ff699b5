package handlers_test

// A probe is a request of an operation. In its texts B stands for the name of a bucket.
type probe struct {
	// method, target and body are those of the request, and header has lines beside the caller's.
	method, target string
	body           any
	header         []string
	// needs are the actions that the request takes with the key, if they are not those of the
	// operation's x-needs.
	needs []string
	// conditional reports whether the request is done only if the key is in some states. A caller
	// who may write the key learns whether it was done, and no more.
	conditional bool
	// elsewhere reports whether callers with a rule for the bucket are told of others as well.
	elsewhere bool
	// twice reports whether the request is sent twice; the second answer counts.
	twice bool
}

// probesOf has the probes of each operation. secret.k is the key that nobody may get.
var probesOf = map[string][]probe{
	"getValue": {
		{method: "GET", target: "/buckets/B/keys/secret.k"},
		{method: "GET", target: "/buckets/B/keys/~?key=secret.k"},
		{method: "GET", target: "/buckets/B/keys/secret.k?revision=2"},
		{method: "GET", target: "/buckets/B/keys/secret.k?min_revision=99999",
			header: []string{"Prefer: wait=0"}},
		{method: "GET", target: "/buckets/B/keys/secret.k",
			header: []string{"If-None-Match: \"0\"", "Prefer: wait=1"}},
		{method: "GET", target: "/buckets/B/keys/secret.k", header: []string{"If-Match: \"2\""}},
		{method: "GET", target: "/buckets/B/keys/secret.k", header: []string{"Range: bytes=0-0"}},
	},
	"headValue": {{method: "HEAD", target: "/buckets/B/keys/secret.k"}},
	"putValue": {
		{method: "PUT", target: "/buckets/B/keys/secret.k", body: "v"},
		{method: "PUT", target: "/buckets/B/keys/~?key=secret.k", body: "v"},
		{method: "PUT", target: "/buckets/B/keys/secret.k?ttl=1h", body: "v"},
		{method: "PUT", target: "/buckets/B/keys/secret.k", body: "v", twice: true,
			header: []string{`Idempotency-Key: "one"`}},
		{method: "PUT", target: "/buckets/B/keys/secret.k", body: "v", conditional: true,
			header: []string{"If-None-Match: *"}},
		{method: "PUT", target: "/buckets/B/keys/secret.k", body: "v", conditional: true,
			header: []string{`If-Match: "0"`}},
		{method: "PUT", target: "/buckets/B/keys/secret.k", body: "v", conditional: true,
			header: []string{`If-Match: "2"`}},
		{method: "PUT", target: "/buckets/B/keys/secret.k", body: "v", conditional: true,
			header: []string{"If-Match: *"}},
		{method: "PUT", target: "/buckets/B/keys/secret.k", body: "v", conditional: true,
			header: []string{`If-Match: "0", "3"`}},
		{method: "PUT", target: "/buckets/B/keys/secret.k", body: "v", conditional: true,
			header: []string{`If-None-Match: "2"`}},
		{method: "PUT", target: "/buckets/B/keys/secret.k", body: "v", conditional: true,
			header: []string{`If-None-Match: "9"`}},
		{method: "PUT", target: "/buckets/B/keys/secret.k", body: "v", conditional: true,
			twice: true, header: []string{"If-None-Match: *", `Idempotency-Key: "two"`}},
	},
	"patchValue": {
		{method: "PATCH", target: "/buckets/B/keys/secret.k", body: `{"a":1}`,
			header: []string{mergeType}},
		{method: "PATCH", target: "/buckets/B/keys/secret.k", header: []string{jsonPatchType},
			body: `[{"op":"test","path":"/a","value":2}]`},
		{method: "PATCH", target: "/buckets/B/keys/secret.k?ttl=1h", body: `{}`,
			header: []string{mergeType}},
		{method: "PATCH", target: "/buckets/B/keys/secret.k?ttl=1h", body: "",
			needs: []string{"put"}, conditional: true},
		{method: "PATCH", target: "/buckets/B/keys/secret.k?ttl=1h", body: "",
			needs: []string{"put"}, conditional: true, header: []string{`If-Match: "3"`}},
	},
	"deleteValue": {
		{method: "DELETE", target: "/buckets/B/keys/secret.k", conditional: true},
		{method: "DELETE", target: "/buckets/B/keys/secret.k?purge=true", conditional: true},
		{method: "DELETE", target: "/buckets/B/keys/secret.k", conditional: true,
			header: []string{`If-Match: "2"`}},
		{method: "DELETE", target: "/buckets/B/keys/secret.k", conditional: true,
			header: []string{`If-Match: "3"`}},
	},
	"getEntry": {
		{method: "GET", target: "/buckets/B/entries/secret.k"},
		{method: "GET", target: "/buckets/B/entries/~?key=secret.k&values=none"},
	},
	"getHistory": {{method: "GET", target: "/buckets/B/history/secret.k"}},
	"listKeys": {
		{method: "GET", target: "/buckets/B/keys"},
		{method: "GET", target: "/buckets/B/keys?filter=>"},
		{method: "GET", target: "/buckets/B/keys?filter=secret.k"},
		{method: "GET", target: "/buckets/B/keys?filter=*.k&limit=1"},
		{method: "GET", target: "/buckets/B/keys?prefix=secret.&delimiter=."},
		{method: "GET", target: "/buckets/B/keys?delimiter=.", header: []string{asLines}},
		{method: "GET", target: "/buckets/B/keys", header: []string{"Accept: text/plain"}},
	},
	"deleteKeys": {
		{method: "DELETE", target: "/buckets/B/keys?filter=secret.k"},
		{method: "DELETE", target: "/buckets/B/keys?filter=>&dry_run=true"},
		{method: "DELETE", target: "/buckets/B/keys?filter=secret.>&filter=other.>&dry_run=true"},
		{method: "DELETE", target: "/buckets/B/keys?filter=*.k&purge=true&limit=1"},
	},
	"listEntries": {
		{method: "GET", target: "/buckets/B/entries"},
		{method: "GET", target: "/buckets/B/entries", header: []string{asLines}},
		{method: "GET", target: "/buckets/B/entries?filter=*.k&limit=1"},
		{method: "GET", target: "/buckets/B/entries?filter=secret.k"},
		{method: "GET", target: "/buckets/B/entries?prefix=secret.", header: []string{asLines}},
		{method: "GET", target: "/buckets/B/entries?key=secret.k", needs: []string{"get"}},
		{method: "GET", target: "/buckets/B/entries?key=other.k&key=secret.k",
			needs: []string{"get"}},
	},
	"importEntries": {
		{method: "POST", target: "/buckets/B/entries?results=all", header: []string{lineType},
			body: `{"key":"secret.k","text":"v"}`},
		{method: "POST", target: "/buckets/B/entries?mode=create", header: []string{lineType},
			body: `{"key":"secret.k","text":"v"}`, conditional: true},
	},
	"transact": {
		{method: "POST", target: "/buckets/B/transactions", header: []string{jsonType},
			needs: []string{"put"}, body: `{"operations":[` +
				`{"op":"put","key":"secret.k","text":"v"}]}`},
		{method: "POST", target: "/buckets/B/transactions", header: []string{jsonType},
			needs: []string{"put"}, conditional: true, body: `{"operations":[` +
				`{"op":"put","key":"secret.k","text":"v","if_absent":true}]}`},
		{method: "POST", target: "/buckets/B/transactions", header: []string{jsonType},
			needs: []string{"put"}, conditional: true, body: `{"operations":[` +
				`{"op":"put","key":"secret.k","text":"v","if_revision":2},` +
				`{"op":"put","key":"other.k","text":"v"}]}`},
		{method: "POST", target: "/buckets/B/transactions", header: []string{jsonType},
			needs: []string{"put", "get"}, body: `{"operations":[` +
				`{"op":"put","key":"other.k","text":"v"},` +
				`{"op":"check","key":"secret.k","if_revision":2}]}`},
		{method: "POST", target: "/buckets/B/transactions", header: []string{jsonType},
			needs: []string{"put", "delete"}, body: `{"operations":[` +
				`{"op":"put","key":"other.k","text":"v"},{"op":"delete","key":"secret.k"}]}`},
	},
	"watchBucket": {
		{method: "GET", target: "/buckets/B/watch", header: []string{asLines}},
		{method: "GET", target: "/buckets/B/watch?filter=*.k&include_history=true",
			header: []string{asLines}},
		{method: "GET", target: "/buckets/B/watch?filter=secret.k", header: []string{asLines}},
	},
	"watchBuckets": {
		{method: "GET", target: "/watch?watch=B", header: []string{asLines}},
		{method: "GET", target: "/watch?watch=B:secret.>", header: []string{asLines}},
	},
	"makeTicket": {{method: "POST", target: "/tickets", header: []string{jsonType},
		body: `{"watch":["B:secret.k"]}`}},
	"listMarkers": {
		{method: "GET", target: "/buckets/B/markers"},
		{method: "GET", target: "/buckets/B/markers?filter=secret.k"},
	},
	"purgeMarkers": {
		{method: "DELETE", target: "/buckets/B/markers?older_than=0s"},
		{method: "DELETE", target: "/buckets/B/markers?filter=secret.k&older_than=0s"},
	},
	"listBuckets": {
		// A caller with a rule lists the buckets that other probes have just made as well.
		{method: "GET", target: "/buckets?limit=1000&names=true", elsewhere: true},
	},
	"getBucket": {{method: "GET", target: "/buckets/B"}},
	"putBucket": {
		{method: "PUT", target: "/buckets/B", header: []string{jsonType}, body: `{"history":9}`},
		{method: "PUT", target: "/buckets/B", header: []string{"If-None-Match: *"}},
	},
	"patchBucket": {{method: "PATCH", target: "/buckets/B", header: []string{mergeType},
		body: `{"history":9}`}},
	"deleteBucket":      {{method: "DELETE", target: "/buckets/B"}},
	"getAccess":         {{method: "GET", target: "/access"}},
	"getStatus":         {{method: "GET", target: "/status"}},
	"getIndex":          {{method: "GET", target: "/"}},
	"headIndex":         {{method: "HEAD", target: "/"}},
	"getLiveness":       {{method: "GET", target: "/livez"}},
	"headLiveness":      {{method: "HEAD", target: "/livez"}},
	"getHealth":         {{method: "GET", target: "/healthz"}},
	"headHealth":        {{method: "HEAD", target: "/healthz"}},
	"getReadiness":      {{method: "GET", target: "/readyz"}},
	"headReadiness":     {{method: "HEAD", target: "/readyz"}},
	"getVersion":        {{method: "GET", target: "/version"}},
	"getContractAsYaml": {{method: "GET", target: "/openapi.yaml"}},
	"getContractAsJson": {{method: "GET", target: "/openapi.json"}},
	"getProblem":        {{method: "GET", target: "/problems/forbidden"}},
	"getDocs":           {{method: "GET", target: "/docs"}},
	"headDocs":          {{method: "HEAD", target: "/docs/"}},
	"getDocsPage":       {{method: "GET", target: "/docs/tour"}},
	"headDocsPage":      {{method: "HEAD", target: "/docs/api/"}},
	"getConsole":        {{method: "GET", target: "/console"}},
	"headConsole":       {{method: "HEAD", target: "/console/"}},
	"getConsoleFile":    {{method: "GET", target: "/console/console.js"}},
	"headConsoleFile":   {{method: "HEAD", target: "/console/console.css"}},
	"getOverview":       {{method: "GET", target: "/llms.txt"}},
	"headOverview":      {{method: "HEAD", target: "/llms.txt"}},
	"getResourceMetadata": {{method: "GET",
		target: "/.well-known/oauth-protected-resource"}},
}
