package auth

import (
	"slices"

	"kvgateway/internal/kv"
)

// A role is a role of an auth file.
type role struct {
	// name is its name.
	name string
	// rules are its rules.
	rules []roleRule
}

// A roleRule is a rule of a role, whose keys may have places that each caller fills in.
type roleRule struct {
	// rule is the rule; it has no keys if there are templates.
	rule Rule
	// templates are the filters of the keys, if any of them has a place; else there are none.
	templates []keyTemplate
}

// claims returns the names of the claims that the role fills in.
func (r *role) claims() (names []string) {
	for _, rule := range r.rules {
		for _, t := range rule.templates {
			names = append(names, t.claims...)
		}
	}
	return names
}

// claimsOf returns the names of all claims that any of the roles fills in, in order.
func claimsOf(roles map[string]*role) (names []string) {
	for _, role := range roles {
		names = append(names, role.claims()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// appendRules appends the rules of the role to others, with the values of a caller's claims. It
// returns a *[Refusal] if a value cannot be filled in.
func (r *role) appendRules(rules []Rule, values map[string]string) ([]Rule, error) {
	for _, rr := range r.rules {
		rule := rr.rule
		if len(rr.templates) > 0 {
			patterns := make([]string, len(rr.templates))
			for i, t := range rr.templates {
				var err error
				if patterns[i], err = t.fill(values); err != nil {
					return nil, err
				}
			}
			var err error
			if rule.Keys, err = kv.ParseFilters(patterns); err != nil {
				return nil, invalid("The claims of the token that stand for parts of keys are " +
					"too long.")
			}
		}
		rule.Role = r.name
		rules = append(rules, rule)
	}
	return rules, nil
}

// rightsOf returns the rights of some roles for a caller with these claims. Names of other roles
// are left out, since an issuer may have roles of other services. It returns a *[Refusal] if a
// value cannot be filled in.
func (p *Policy) rightsOf(names []string, values map[string]string) (*Rights, error) {
	var rules []Rule
	for i, name := range names {
		role := p.roles[name]
		if role == nil || slices.Contains(names[:i], name) {
			continue
		}
		var err error
		if rules, err = role.appendRules(rules, values); err != nil {
			return nil, err
		}
	}
	return NewRights(rules...), nil
}
