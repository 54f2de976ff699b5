package handlers

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"kvgateway/api"
	"kvgateway/internal/kv"
)

// ttlRange are the times to live that entries and markers can have.
var ttlRange = api.DurationRange{Least: kv.Duration(kv.MinTTL), Most: kv.Duration(kv.MaxTTL)}

// ttlForm says for clients which durations ttlRange takes.
const ttlForm = "a duration of at least 1s and at most 100 years, such as 90s, 15m or 24h"

// parseTTL reads a time to live, and reports whether it is one.
func parseTTL(text string) (ttl time.Duration, ok bool) {
	ttl, err := time.ParseDuration(text)
	return ttl, err == nil && ttlRange.Takes(text)
}

// durationMistake returns the advice of misspeltDuration for a value of a schema; "" if there is
// none, or if the schema is not one of durations.
func durationMistake(schema *openapi3.Schema, value any) string {
	durations, ok := api.Durations(schema)
	if !ok {
		return ""
	}
	_, isText := value.(string)
	return misspeltDuration(durations, textOf(value), isText)
}

// plainNumber is a number without a sign, an exponent and a unit.
var plainNumber = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)

// misspeltDuration says what is wrong with a text that is nearly a duration, and how to write it;
// "" if it is not nearly one, or if what it seems to mean cannot be given. quoted reports whether
// the text was one of JSON or of a query, and not a number.
func misspeltDuration(durations api.DurationRange, text string, quoted bool) string {
	if len(text) > 12 {
		return ""
	}
	meant, why := strings.ToLower(strings.ReplaceAll(text, " ", "")), ""
	if plainNumber.MatchString(text) {
		meant, why = text+"s", text+" has no unit, "
	} else if days, found := strings.CutSuffix(meant, "d"); found {
		n, err := strconv.Atoi(days)
		if err != nil || n > 1e6 {
			return ""
		}
		meant, why = fmt.Sprintf("%dh", n*24), "there is no unit for days, "
	}
	if meant == text || !durations.Takes(meant) {
		return ""
	}
	advice := why + "write " + meant
	if !quoted {
		advice = why + "write " + strconv.Quote(meant)
	}
	if meant == text+"s" {
		advice += " for seconds"
	}
	return advice + "; "
}
