package handlers

import (
	"errors"
	"net/url"
	"time"

	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

// timeToLive reads the parameter ttl; it returns 0 if there is none.
func timeToLive(query url.Values) (time.Duration, error) {
	if !query.Has("ttl") {
		return 0, nil
	}
	ttl, ok := parseTTL(query.Get("ttl"))
	if !ok {
		return 0, problem.OfParameter("ttl", "ttl must be "+ttlForm+".")
	}
	return ttl, nil
}

// suggestedMarkerTTL is the limit_marker_ttl that clients are advised to enable times to live with.
// It is long enough for watchers that were disconnected.
const suggestedMarkerTTL = time.Hour

// ttlProblem returns the problem for an error about a time to live.
func ttlProblem(err error) (problem.Error, bool) {
	if e, ok := errors.AsType[*kv.TTLNotEnabledError](err); ok {
		return ttlNotEnabledProblem(e), true
	}
	if e, ok := errors.AsType[*kv.TTLTooShortError](err); ok {
		return ttlTooShortProblem(e), true
	}
	return problem.Error{}, false
}

// ttlNotEnabledProblem returns the problem of a time to live in a bucket that takes none.
func ttlNotEnabledProblem(e *kv.TTLNotEnabledError) problem.Error {
	suggested, note := "1h", ""
	if e.Longest > 0 && e.Longest < suggestedMarkerTTL {
		suggested = kv.Duration(e.Longest).String()
		note = " The bucket has a history, so no entry's time to live can be shorter than that."
	}
	return problem.Error{
		Code: problem.TTLNotEnabled,
		Midway: "The bucket takes no entries with a time to live of their own. Send it the merge " +
			"patch in `patch` with PATCH, or import with expires=ignore.",
		Detail: "The bucket takes no entries with a time to live of their own; nothing was done. " +
			"Enable them with PATCH " + problem.Base + "/buckets/" + e.Bucket +
			` and the merge patch {"limit_marker_ttl":"` + suggested +
			`"}, which is how long markers of expired entries stay.` + note,
		Members: problem.Members{
			"bucket": e.Bucket,
			"patch":  problem.Members{"limit_marker_ttl": suggested},
		},
	}
}

// ttlTooShortProblem returns the problem of a time to live that NATS would make longer.
func ttlTooShortProblem(e *kv.TTLTooShortError) problem.Error {
	shortest := kv.Duration(e.Minimum)
	p := problem.Error{Code: problem.TTLTooShort, Members: problem.Members{"minimum": shortest},
		Detail: "NATS would keep the entry for " + shortest.String() + ", since the bucket has a " +
			"history and that limit_marker_ttl. Nothing was done. Give at least that, or lower " +
			"limit_marker_ttl with PATCH."}
	p.Midway = "NATS would keep the entry for " + shortest.String() + ", since the bucket has a " +
		"history and that limit_marker_ttl."
	if e.Remaining {
		p.Midway = ""
		p.Detail = "Less is left of the value's time to live than " + shortest.String() +
			", which is the shortest that can be set here. Nothing was done. Give a ttl."
	}
	return p
}
