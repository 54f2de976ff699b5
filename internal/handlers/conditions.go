package handlers

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// maxTags bounds the entity tags of one header.
const maxTags = 64

// unmatchable is the position of a well-formed tag that this gateway did not make. No entry has it.
var unmatchable = kv.Position{Epoch: "-"}

// parseTags reads the value of If-Match or If-None-Match (RFC 9110 §8.8.3, §13.1): "*" or a list of
// entity tags. It also knows the gateway's own tags in the forms that proxies make of them, weak or
// with a content coding, and takes a revision without quotes. A well-formed tag that the gateway
// did not make is refused if strict, and otherwise matches nothing. The result reason says why the
// value was refused; it is "" if it was not.
func parseTags(value string, strict bool) (c kv.Condition, reason string) {
	if strings.Trim(value, " \t") == "*" {
		return kv.Condition{Any: true}, ""
	}
	for rest := value; ; {
		rest = strings.TrimLeft(rest, " \t,")
		if rest == "" {
			break
		}
		var tag, reason string
		if tag, rest, reason = cutTag(rest); reason != "" {
			return c, reason
		}
		position, err := parseTag(tag)
		switch {
		case err != nil && strict:
			return c, "\"" + tag + "\" is not a tag of this gateway; send the ETag of the entry " +
				"that you read, without changes"
		case err != nil:
			position = unmatchable
		}
		if c.Positions = append(c.Positions, position); len(c.Positions) > maxTags {
			return c, "it has more than " + strconv.Itoa(maxTags) + " tags"
		}
	}
	if len(c.Positions) == 0 {
		return c, "it has no tag"
	}
	return c, ""
}

// codings are the content codings that proxies append to the tags of answers that they encode.
var codings = []string{"-gzip", "-br", "-zstd", "-deflate"}

// parseTag reads one of the gateway's own tags, without its quotes. Most proxies append a content
// coding after "-", and some after "--".
func parseTag(tag string) (kv.Position, error) {
	for _, coding := range codings {
		if coded, ok := strings.CutSuffix(tag, coding); ok {
			tag = strings.TrimSuffix(coded, "-")
			break
		}
	}
	return kv.ParsePosition(tag)
}

// cutTag cuts the first entity tag, or the first revision without quotes, off a list. The result
// reason says what is wrong with it; it is "" if nothing is.
func cutTag(list string) (tag, rest, reason string) {
	quoted, weak := strings.CutPrefix(list, "W/")
	if !strings.HasPrefix(quoted, `"`) {
		end := strings.IndexAny(list, ", \t")
		if end < 0 {
			end = len(list)
		}
		if weak || strings.Trim(list[:end], "0123456789") != "" {
			return "", "", "a tag must be in double quotes, as in \"42-k3f9x\""
		}
		tag, rest = list[:end], list[end:]
	} else {
		end := strings.IndexByte(quoted[1:], '"')
		if end < 0 {
			return "", "", "a double quote is missing"
		}
		tag, rest = quoted[1:1+end], quoted[end+2:]
		if strings.ContainsFunc(tag, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return "", "", "a tag must not contain spaces or control characters"
		}
	}
	if rest = strings.TrimLeft(rest, " \t"); rest != "" && rest[0] != ',' {
		return "", "", "tags must be separated by commas"
	}
	return tag, rest, ""
}

// preconditions reads If-Match and If-None-Match. Several lines of one header are one list (RFC
// 9110 §5.3).
func preconditions(h http.Header, strict bool) (p kv.Precondition, err error) {
	if p.IfMatch, err = condition(h, "If-Match", strict); err != nil {
		return p, err
	}
	p.IfNoneMatch, err = condition(h, "If-None-Match", strict)
	return p, err
}

// condition reads one header of entity tags.
func condition(h http.Header, name string, strict bool) (kv.Condition, error) {
	lines := h[name]
	if len(lines) == 0 {
		return kv.Condition{}, nil
	}
	c, reason := parseTags(strings.Join(lines, ","), strict)
	if reason != "" {
		return c, problem.OfHeader(name, name+" cannot be read: "+reason+".")
	}
	return c, nil
}

// refuseConditions refuses all preconditions but those in allowed, where the resource has no ETag.
// Ignoring one would break what its client relies on.
func refuseConditions(h http.Header, allowed ...string) error {
	for _, name := range []string{"If-Match", "If-None-Match", "If-Unmodified-Since"} {
		if h[name] != nil && !slices.Contains(allowed, name) {
			return problem.OfHeader(name, name+" cannot be checked here, since a bucket has no "+
				"ETag. Nothing was done. Leave the header out.")
		}
	}
	return nil
}

// readPreconditions reads the preconditions of a read, for which a tag that this gateway did not
// make matches nothing.
func readPreconditions(h http.Header) (kv.Precondition, error) { return preconditions(h, false) }

// writePreconditions reads the preconditions of a write, and refuses those that cannot be checked.
func writePreconditions(h http.Header) (kv.Precondition, error) {
	if h["If-Unmodified-Since"] != nil {
		return kv.Precondition{}, problem.OfHeader("If-Unmodified-Since",
			"A date cannot tell two revisions of the same second "+
				"apart. Send the ETag in If-Match instead.")
	}
	return preconditions(h, true)
}

// requirePrecondition refuses a write without a precondition if the gateway or the bucket requires
// one (RFC 6585 §3).
func (s *Server) requirePrecondition(b *kvclient.Bucket, p kv.Precondition) error {
	if p.Always() && (s.options.RequirePreconditions || b.RequiresPreconditions()) {
		return problem.New(problem.PreconditionRequired)
	}
	return nil
}
