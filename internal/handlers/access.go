package handlers

import (
	"net/http"
	"strings"
	"time"

	"kvgateway/internal/auth"
)

// An accessDocument says who the caller is and what it may do. api/openapi.yaml describes its
// members.
type accessDocument struct {
	Kind    string       `json:"kind"`
	Name    string       `json:"name,omitempty"`
	Expires *time.Time   `json:"expires,omitempty"`
	Rules   []accessRule `json:"rules"`
}

// An accessRule is a rule of the caller.
type accessRule struct {
	Bucket string   `json:"bucket"`
	Keys   []string `json:"keys,omitempty"`
	Can    []string `json:"can"`
}

// getAccess answers what the caller may do, and until when. It asks NATS nothing.
func (s *Server) getAccess(x *exchange) error {
	caller := x.caller
	document := accessDocument{Kind: caller.Kind.String(), Name: caller.Name, Rules: []accessRule{}}
	if !caller.Expires.IsZero() {
		expires := caller.Expires.UTC()
		document.Expires = &expires
	}
	if caller.Rights.AllowEverything() {
		everything := accessRule{Bucket: "*", Can: namesOfActions(auth.Admin)}
		document.Rules = append(document.Rules, everything)
	}
	for _, rule := range caller.Rights.Rules() {
		shown := accessRule{Bucket: rule.Bucket.String(), Can: namesOfActions(rule.Can)}
		if len(rule.Keys) > 0 {
			shown.Keys = patternsOf(rule.Keys)
		}
		document.Rules = append(document.Rules, shown)
	}
	return x.respondJSON(http.StatusOK, document)
}

// namesOfActions returns the names of the actions of a set.
func namesOfActions(actions auth.Actions) []string { return strings.Split(actions.String(), ", ") }
