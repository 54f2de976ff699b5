package handlers

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"kvgateway/internal/kvclient"
)

// etag is the entity tag of a key's entry: "revision-epoch.check", without the check where it is not
// known, or "0" for a key that was never written.
func etag(p kvclient.Position) string {
	if p.Revision == 0 {
		return `"0"`
	}
	var buffer [48]byte
	return string(appendETag(buffer[:0], p))
}

// appendETag appends the entity tag of a written entry.
func appendETag(dst []byte, p kvclient.Position) []byte {
	return append(p.Append(append(dst, '"')), '"')
}

// maxTags bounds the entity tags of one header.
const maxTags = 64

// unmatchable is the position of a well-formed tag that is not of this gateway's making.
var unmatchable = kvclient.Position{Epoch: "-"}

// parseTags reads the value of If-Match or If-None-Match (RFC 9110 §8.8.3, §13.1): "*" or a list of
// entity tags. Our own tags are also known in the forms that proxies make of them, weak or with a
// content coding; a revision may stand bare. A well-formed tag of another making is refused when
// strict, else it matches nothing.
func parseTags(value string, strict bool) (kvclient.Condition, string) {
	if strings.Trim(value, " \t") == "*" {
		return kvclient.Condition{Any: true}, ""
	}
	var c kvclient.Condition
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
			return c, "\"" + tag + "\" is no tag of this gateway; send the ETag of the entry that you read, as it came"
		case err != nil:
			position = unmatchable
		}
		if c.Positions = append(c.Positions, position); len(c.Positions) > maxTags {
			return c, "there are more than " + strconv.Itoa(maxTags) + " tags"
		}
	}
	if len(c.Positions) == 0 {
		return c, "there is no tag in it"
	}
	return c, ""
}

// codings are the content codings that proxies append to the tags of what they encode.
var codings = []string{"-gzip", "-br", "-zstd", "-deflate"}

// parseTag reads one of our own tags, without its quotes. Proxies append the coding after "-", and
// some after "--".
func parseTag(tag string) (kvclient.Position, error) {
	for _, coding := range codings {
		if coded, ok := strings.CutSuffix(tag, coding); ok {
			tag = strings.TrimSuffix(coded, "-")
			break
		}
	}
	return kvclient.ParsePosition(tag)
}

// cutTag cuts the first entity tag, or bare revision, off a list. Reason says what is wrong with it.
func cutTag(list string) (tag, rest, reason string) {
	quoted, weak := strings.CutPrefix(list, "W/")
	if !strings.HasPrefix(quoted, `"`) {
		end := strings.IndexAny(list, ", \t")
		if end < 0 {
			end = len(list)
		}
		if weak || strings.Trim(list[:end], "0123456789") != "" {
			return "", "", "a tag stands in double quotes, as in \"42-k3f9x\""
		}
		tag, rest = list[:end], list[end:]
	} else {
		end := strings.IndexByte(quoted[1:], '"')
		if end < 0 {
			return "", "", "a double quote is missing"
		}
		tag, rest = quoted[1:1+end], quoted[end+2:]
		if strings.ContainsFunc(tag, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return "", "", "a tag holds no spaces or control characters"
		}
	}
	if rest = strings.TrimLeft(rest, " \t"); rest != "" && rest[0] != ',' {
		return "", "", "tags are separated by commas"
	}
	return tag, rest, ""
}

// preconditions reads If-Match and If-None-Match; repeated lines of one header are one list (RFC 9110 §5.3).
func preconditions(h http.Header, strict bool) (p kvclient.Precondition, err error) {
	if p.IfMatch, err = condition(h, "If-Match", strict); err != nil {
		return p, err
	}
	p.IfNoneMatch, err = condition(h, "If-None-Match", strict)
	return p, err
}

func condition(h http.Header, name string, strict bool) (kvclient.Condition, error) {
	lines := h[name]
	if len(lines) == 0 {
		return kvclient.Condition{}, nil
	}
	c, reason := parseTags(strings.Join(lines, ","), strict)
	if reason != "" {
		return c, headerProblem(name, name+" cannot be read: "+reason+".")
	}
	return c, nil
}

// refuseConditions refuses preconditions where a resource has no ETag, rather than ignore what somebody relies on.
func refuseConditions(h http.Header, allowed ...string) error {
	for _, name := range []string{"If-Match", "If-None-Match", "If-Unmodified-Since"} {
		if h[name] != nil && !slices.Contains(allowed, name) {
			return headerProblem(name, name+" cannot be kept here: a bucket has no ETag. Nothing was done.")
		}
	}
	return nil
}

// writePreconditions reads the preconditions of a write, and refuses those that cannot be kept.
func (s *Server) writePreconditions(r *http.Request) (kvclient.Precondition, error) {
	if r.Header["If-Unmodified-Since"] != nil {
		return kvclient.Precondition{}, headerProblem("If-Unmodified-Since",
			"A date cannot tell two revisions of the same second apart. Send the ETag in If-Match instead.")
	}
	return preconditions(r.Header, true)
}

// requirePrecondition refuses a write without a precondition where the gateway or the bucket asks for one (RFC 6585 §3).
func (s *Server) requirePrecondition(b *kvclient.Bucket, p kvclient.Precondition) error {
	if p.Always() && (s.options.RequirePreconditions || b.RequiresPreconditions()) {
		return problemError{code: codePreconditionRequired, detail: "Send If-Match with the ETag that you read, " +
			"If-None-Match: * to create, or If-Match: * to replace whatever is there."}
	}
	return nil
}
