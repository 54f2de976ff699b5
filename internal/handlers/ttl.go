package handlers

import (
	"net/url"
	"time"

	"kvgateway/internal/kvclient"
)

// timeToLive reads the parameter ttl; 0 where there is none.
func timeToLive(query url.Values) (time.Duration, error) {
	if !query.Has("ttl") {
		return 0, nil
	}
	ttl, ok := parseTTL(query.Get("ttl"))
	if !ok {
		return 0, parameterProblem("ttl", "ttl is "+ttlForm+".")
	}
	return ttl, nil
}

// ttlForm tells a client what parseTTL takes.
const ttlForm = "a duration of at least 1s and at most 100 years, such as 90s, 15m or 24h"

func parseTTL(text string) (ttl time.Duration, ok bool) {
	ttl, err := time.ParseDuration(text)
	return ttl, err == nil && ttl >= kvclient.MinTTL && ttl <= kvclient.MaxTTL
}

// suggestedMarkerTTL is what a client is told to enable times to live with: long enough for watchers that were away.
const suggestedMarkerTTL = time.Hour

func ttlNotEnabledProblem(e *kvclient.TTLNotEnabledError) problemError {
	suggested, note := "1h", ""
	if e.Longest > 0 && e.Longest < suggestedMarkerTTL {
		suggested = kvclient.Duration(e.Longest).String()
		note = " The bucket has a history, so no entry's time to live can be shorter than that."
	}
	return problemError{
		code: codeTTLNotEnabled,
		detail: "The bucket takes no entries with a time to live of their own; nothing was done. Enable them with PATCH /buckets/" +
			e.Bucket + ` and the merge patch {"limit_marker_ttl":"` + suggested + `"}, the time for which markers of expired entries stay.` + note,
		members: members{"bucket": e.Bucket, "patch": members{"limit_marker_ttl": suggested}},
	}
}

func ttlTooShortProblem(e *kvclient.TTLTooShortError) problemError {
	shortest := kvclient.Duration(e.Minimum)
	p := problemError{code: codeTTLTooShort, members: members{"minimum": shortest},
		detail: "NATS would keep the entry for " + shortest.String() + ", since the bucket has a history and that limit_marker_ttl. Nothing was done. " +
			"Give at least that, or lower limit_marker_ttl with PATCH."}
	if e.Remaining {
		p.detail = "Less is left of the value's time to live than the " + shortest.String() + " that can be set here. Nothing was done. Give a ttl."
	}
	return p
}
