package handlers

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"kvgateway/internal/auth"
	"kvgateway/internal/handlers/problem"
)

// metadataPath is where clients look for the metadata of a protected resource (RFC 9728 §3).
const metadataPath = "/.well-known/oauth-protected-resource"

// A resourceMetadata says where clients get tokens for the gateway (RFC 9728 §2). It lists no
// scopes: what a token may do is in its roles.
type resourceMetadata struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	BearerMethods        []string `json:"bearer_methods_supported"`
}

// getResourceMetadata answers the metadata, if clients can be told an address of the gateway and
// the issuers of its tokens.
func (s *Server) getResourceMetadata(x *exchange) error {
	if s.metadataURL() == "" {
		p := problem.New(problem.NotFound)
		p.Detail = "This gateway takes no tokens of an issuer, or was not told its own address " +
			"(--public-url), so it has no metadata for OAuth."
		return p
	}
	return x.respondJSON(http.StatusOK, resourceMetadata{
		Resource:             s.options.PublicURL,
		AuthorizationServers: s.options.Gate.Issuers(),
		BearerMethods:        []string{"header"},
	})
}

// metadataURL returns the address of the metadata, "" if there is none. It stands between the host
// and the path of the resource (RFC 9728 §3.1).
func (s *Server) metadataURL() string {
	if s.options.PublicURL == "" || s.options.Gate == nil || len(s.options.Gate.Issuers()) == 0 {
		return ""
	}
	return s.publicOrigin + metadataPath + strings.TrimPrefix(s.options.PublicURL, s.publicOrigin)
}

// originOf returns scheme and host of an address of the gateway, as browsers write an origin; "" if
// there is none.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// isMetadata reports whether an escaped path is that of the metadata, which is outside of the base
// path. A proxy that mounts the gateway below a path may pass that on or take it off.
func (s *Server) isMetadata(path string) bool {
	rest, found := strings.CutPrefix(path, metadataPath)
	if !found {
		return false
	}
	return rest == "" || rest == strings.TrimPrefix(s.options.PublicURL, s.publicOrigin)
}

// challenge adds to the answer to a request that is refused how the caller can present a
// credential (RFC 9110 §11.6.1, RFC 6750 §3): to one that is not known, and to one with a token
// that lacks the right.
func (s *Server) challenge(x *exchange, err error) {
	bearer := []string{`realm="kvgateway"`}
	if refusal, ok := errors.AsType[*auth.Refusal](err); ok {
		switch {
		case refusal.Limited || refusal.Unavailable:
			return
		case refusal.Invalid:
			bearer = append(bearer, `error="invalid_token"`,
				`error_description="`+quotable(refusal.Detail)+`"`)
		}
	} else if p, ok := errors.AsType[problem.Error](err); ok && p.Code == problem.Forbidden &&
		x.caller != nil && (x.caller.Kind == auth.OwnToken || x.caller.Kind == auth.JWT) {
		bearer = append(bearer, `error="insufficient_scope"`)
	} else {
		return
	}
	if address := s.metadataURL(); address != "" {
		bearer = append(bearer, `resource_metadata="`+address+`"`)
	}
	challenges := []string{"Bearer " + strings.Join(bearer, ", ")}
	if s.offersBasic(x) {
		challenges = append(challenges, `Basic realm="kvgateway", charset="UTF-8"`)
	}
	x.Header()["Www-Authenticate"] = challenges
}

// offersBasic reports whether to offer the scheme Basic: where it is taken and the caller is not
// known, but not to a browser. A browser would ask its user for a password on behalf of the page,
// and send that by itself from then on. Over plain HTTP from another machine, browsers send no
// Sec-Fetch headers, and no Origin with a GET of their own page, so what they all call themselves
// counts, too.
func (s *Server) offersBasic(x *exchange) bool {
	h := x.request.Header
	return s.options.Gate != nil && s.options.Gate.NATS().Enabled && x.caller == nil &&
		h["Sec-Fetch-Mode"] == nil && h["Origin"] == nil &&
		!strings.Contains(h.Get("Accept"), "text/html") &&
		!strings.HasPrefix(h.Get("User-Agent"), "Mozilla/")
}

// quotable returns a text with the characters that error_description may have (RFC 6750 §3), and
// others for the rest.
func quotable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r == '\\' || r < ' ' || r > '~':
			return '?'
		}
		return r
	}, text)
}
