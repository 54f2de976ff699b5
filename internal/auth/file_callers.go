package auth

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// staticRights returns the rights of roles that need no claims.
func (p *Policy) staticRights(names []string) *Rights {
	rights, err := p.rightsOf(names, nil)
	if err != nil { // roleNames has refused such roles
		return new(Rights)
	}
	return rights
}

// anonymous reads the roles of callers without a credential.
func (r *fileReader) anonymous(n ast.Node, p *Policy) *Caller {
	const instead = "leave it out to refuse callers without a credential"
	return &Caller{Rights: p.staticRights(r.roleNames(n, "anonymous", instead, p.roles))}
}

// tokens reads the gateway's own tokens.
func (r *fileReader) tokens(n ast.Node, p *Policy) {
	names := make(map[string]bool)
	for _, item := range r.list(n, "tokens", "leave it out if there are none") {
		members := r.members(item, "a token", []string{"name", "sha256", "roles"},
			[]string{"expires"})
		t := &ownToken{}
		if m := members["name"]; m != nil {
			t.name = r.callerName(m, names)
		}
		if m := members["roles"]; m != nil {
			t.rights = p.staticRights(r.roleNames(m, "roles", nameARole, p.roles))
		}
		if m, given := members["expires"]; given {
			t.expires = r.end(m)
		}
		if m := members["sha256"]; m != nil {
			r.hash(m, t, p)
		}
	}
}

// callerName reads the name of a token, which must be the only one of that name.
func (r *fileReader) callerName(n ast.Node, names map[string]bool) string {
	name, ok := r.text(n, "name")
	switch {
	case !ok:
	case !nameForm.MatchString(name):
		r.fault(n, "name %q: %s", name, nameHint)
	case names[name]:
		r.fault(n, "there are two tokens named %s: logs and tickets name them, so give one of "+
			"them another name", name)
	}
	names[name] = true
	return name
}

// hash reads the hash of a token, and adds the token to the policy.
func (r *fileReader) hash(n ast.Node, t *ownToken, p *Policy) {
	text, ok := r.text(n, "sha256")
	if !ok {
		return
	}
	var hash tokenHash
	if len(text) != hex.EncodedLen(len(hash)) {
		r.fault(n, "sha256 must have 64 hexadecimal digits, and this has %d characters: copy it "+
			"from gateway token new", len(text))
		return
	}
	if _, err := hex.Decode(hash[:], []byte(text)); err != nil {
		r.fault(n, "sha256 must have 64 hexadecimal digits: copy it from gateway token new")
		return
	}
	if other := p.tokens[hash]; other != nil {
		r.fault(n, "this is the hash of the token %s already: make a new token with gateway token "+
			"new", other.name)
		return
	}
	p.tokens[hash] = t
}

// end reads when a token ends: at the beginning of a day in UTC, or at a time.
func (r *fileReader) end(n ast.Node) time.Time {
	text, ok := r.text(n, "expires")
	if !ok {
		return time.Time{}
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	r.fault(n, "expires %q must be a day such as 2027-01-31, at whose beginning in UTC the token "+
		"ends, or a time such as 2027-01-31T12:00:00Z", text)
	return time.Time{}
}

// nats reads what is said of credentials that are passed through.
func (r *fileReader) nats(n ast.Node) NATSSettings {
	s := NATSSettings{MaxConnections: defaultNATSConnections, Idle: defaultNATSIdle}
	members := r.members(n, "nats", []string{"enabled"}, []string{"max_connections", "idle"})
	if m, given := members["enabled"]; given {
		enabled, ok := m.(*ast.BoolNode)
		if !ok {
			r.fault(m, "enabled must be true or false")
			return s
		}
		s.Enabled = enabled.Value
	}
	if m, given := members["max_connections"]; given {
		text, _ := scalarText(m)
		count, err := strconv.ParseUint(text, 10, 31)
		if err != nil || count < 1 || count > maxNATSConnections {
			r.fault(m, "max_connections must be a number from 1 to %d", maxNATSConnections)
		}
		s.MaxConnections = int(count)
	}
	if m, given := members["idle"]; given {
		text, _ := scalarText(m)
		idle, err := time.ParseDuration(text)
		if err != nil || idle < minNATSIdle || idle > maxNATSIdle {
			r.fault(m, "idle must be a duration from %v to %v, such as 5m", minNATSIdle,
				maxNATSIdle)
		}
		s.Idle = idle
	}
	return s
}
