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
// did not make matches nothing. The result reason says why the value was refused; it is "" if it
// was not.
func parseTags(value string) (c kv.Condition, reason string) {
	if strings.Trim(value, " \t") == "*" {
		return kv.Condition{Any: true}, ""
	}
	for rest := value; ; {
		rest = strings.TrimLeft(rest, " \t,")
		if rest == "" {
			break
		}
		var position kv.Position
		if position, rest, reason = cutTag(rest); reason != "" {
			return c, reason
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

// cutTag cuts the first entity tag, or the first revision without quotes, off a list. The result
// reason says what is wrong with it; it is "" if nothing is.
func cutTag(list string) (position kv.Position, rest, reason string) {
	quoted, weak := strings.CutPrefix(list, "W/")
	if !strings.HasPrefix(quoted, `"`) {
		end := strings.IndexAny(list, ", \t")
		if end < 0 {
			end = len(list)
		}
		revision, err := kv.ParseRevision(list[:end])
		if weak || err != nil {
			return position, "", "a tag must be in double quotes, as in \"42-k3f9x\""
		}
		position, rest = kv.Position{Revision: revision}, list[end:]
	} else {
		end := strings.IndexByte(quoted[1:], '"')
		if end < 0 {
			return position, "", "a double quote is missing"
		}
		tag := quoted[1 : 1+end]
		if strings.ContainsFunc(tag, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return position, "", "a tag must not contain spaces or control characters"
		}
		var ours bool
		if position, ours = parseTag(tag); !ours {
			position = unmatchable
		}
		rest = quoted[end+2:]
	}
	if rest = strings.TrimLeft(rest, " \t"); rest != "" && rest[0] != ',' {
		return position, "", "tags must be separated by commas"
	}
	return position, rest, ""
}

// parseTag reads one of the gateway's own tags, without its quotes, and reports whether it is one.
// Proxies that encode an answer append the content coding to its tag: most after "-" (Apache's
// mod_deflate and mod_brotli do), and some after "--" (Caddy does). Any token may be a coding.
func parseTag(tag string) (p kv.Position, ours bool) {
	revision, rest, _ := strings.Cut(tag, "-")
	epoch, coding, coded := strings.Cut(rest, "-")
	switch {
	case coded && !isToken(strings.TrimPrefix(coding, "-")):
		return p, false
	case coded && epoch == "", !coded && isEpochlessCoding(epoch):
		tag = revision
	case coded:
		tag = revision + "-" + epoch
	}
	p, err := kv.ParsePosition(tag)
	return p, err == nil
}

// isEpochlessCoding reports whether what follows a revision is a content coding, in a tag such as
// "0-gzip", and not an epoch. Epochs have ten characters (since 1973 and until 2085).
func isEpochlessCoding(s string) bool {
	return slices.Contains([]string{"gzip", "br", "zstd", "deflate", "compress"}, s)
}

// isToken reports whether s is a token (RFC 9110 §5.6.2).
func isToken(s string) bool { return s != "" && strings.Trim(s, tokenCharacters) == "" }

// tokenCharacters are the characters of tokens.
const tokenCharacters = "!#$%&'*+-.^_`|~0123456789" +
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// preconditions reads If-Match and If-None-Match. Several lines of one header are one list (RFC
// 9110 §5.3).
func preconditions(h http.Header) (p kv.Precondition, err error) {
	if p.IfMatch, err = condition(h, "If-Match"); err != nil {
		return p, err
	}
	p.IfNoneMatch, err = condition(h, "If-None-Match")
	return p, err
}

// condition reads one header of entity tags.
func condition(h http.Header, name string) (kv.Condition, error) {
	lines := h[name]
	if len(lines) == 0 {
		return kv.Condition{}, nil
	}
	c, reason := parseTags(strings.Join(lines, ","))
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

// writePreconditions reads the preconditions of a write, and refuses those that cannot be checked.
func writePreconditions(h http.Header) (kv.Precondition, error) {
	if h["If-Unmodified-Since"] != nil {
		return kv.Precondition{}, problem.OfHeader("If-Unmodified-Since",
			"A date cannot tell two revisions of the same second "+
				"apart. Send the ETag in If-Match instead.")
	}
	return preconditions(h)
}

// requirePrecondition refuses a write without a precondition if the gateway or the bucket requires
// one (RFC 6585 §3).
func (s *Server) requirePrecondition(b *kvclient.Bucket, p kv.Precondition) error {
	if p.Always() && (s.options.RequirePreconditions || b.RequiresPreconditions()) {
		return problem.New(problem.PreconditionRequired)
	}
	return nil
}
