package auth

import (
	"crypto/x509"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// A certificateRule gives roles to the certificates with a certain name.
type certificateRule struct {
	// san is the subject alternative name: a URI if it has a colon, else a host name. Common names
	// do not count, and neither do IP addresses.
	san string
	// isPrefix reports whether all URIs that begin with san are meant.
	isPrefix bool
	// roles are the names of the roles.
	roles []string
}

// certificates reads the section certificates.
func (r *fileReader) certificates(n ast.Node, p *Policy) {
	for _, item := range r.list(n, "certificates", "leave it out if none is accepted") {
		var rule certificateRule
		members := r.members(item, "an entry of certificates", []string{"san", "roles"}, nil)
		if m := members["san"]; m != nil {
			rule.san, rule.isPrefix = r.san(m)
		}
		if m := members["roles"]; m != nil {
			rule.roles = r.roleNames(m, "roles", nameARole, p.roles)
		}
		p.certificates = append(p.certificates, rule)
	}
}

// san reads a name of certificates. A prefix must end at a slash of a URI: what comes next in
// spiffe://example.org/a* may be b, and in spiffe://example* it may be .com. In a host name the
// part that counts is at the end, so a prefix would mean nothing.
func (r *fileReader) san(n ast.Node) (name string, isPrefix bool) {
	text, ok := r.text(n, "san")
	if !ok {
		return "", false
	}
	name, isPrefix = strings.CutSuffix(text, "*")
	_, path, isURI := strings.Cut(name, "://")
	authority, _, hasPath := strings.Cut(path, "/")
	_, notIP := netip.ParseAddr(name)
	switch {
	case strings.Contains(name, "*"):
		r.fault(n, "san %q: a * must be the last character", text)
	case isPrefix && (!isURI || !hasPath || authority == "" || !strings.HasSuffix(name, "/")):
		r.fault(n, "san %q: a * must follow a slash in the path of a URI, as in "+
			"spiffe://example.org/*; give host names in full", text)
	case notIP == nil:
		r.fault(n, "san %q: an IP address does not say who is calling: give the host name or the "+
			"URI in the certificate", text)
	}
	return name, isPrefix
}

// has reports whether a name of a certificate is meant. Names are compared byte by byte.
func (c *certificateRule) has(name string) bool {
	if c.isPrefix {
		return strings.HasPrefix(name, c.san) && len(name) > len(c.san)
	}
	return name == c.san
}

// isURI reports whether the rule is about URIs, and not about host names.
func (c *certificateRule) isURI() bool { return strings.Contains(c.san, ":") }

// find returns the name of a certificate that the rule is about, "" if there is none.
func (c *certificateRule) find(cert *x509.Certificate) string {
	if !c.isURI() {
		for _, name := range cert.DNSNames {
			if c.has(name) {
				return name
			}
		}
		return ""
	}
	for _, u := range cert.URIs {
		if name := u.String(); c.has(name) && !hasDots(u) {
			return name
		}
	}
	return ""
}

// hasDots reports whether the path of a URI has a segment . or .., which some programs resolve.
func hasDots(u *url.URL) bool {
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// certificateCaller returns the caller that has a verified chain of certificates; nil if the policy
// does not know it. It has the roles of all rules that are about it, and the name that the first of
// them is about. It ends as soon as any certificate of the chain does.
func (p *Policy) certificateCaller(chain []*x509.Certificate) (*Caller, error) {
	var names, roles []string
	for i := range p.certificates {
		if name := p.certificates[i].find(chain[0]); name != "" {
			names = append(names, name)
			roles = append(roles, p.certificates[i].roles...)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	now, end := time.Now(), chain[0].NotAfter
	for _, c := range chain {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			return nil, invalid("The client certificate, or one that it relies on, has expired " +
				"or is not valid yet. Connect with a new one.")
		}
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return &Caller{
		Kind: Certificate, Name: printable(names[0]), Rights: p.staticRights(roles), Expires: end,
		policy: p, presented: &Presented{Chain: chain},
	}, nil
}

// printable returns a name as it can stand in logs and headers: with escapes for everything but
// printable ASCII. Different names stay different.
func printable(name string) string {
	quoted := strconv.QuoteToASCII(name)
	return quoted[1 : len(quoted)-1]
}
