package auth

import (
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"kvgateway/internal/kv"
)

// nameForm is what the names of roles and tokens look like. They stand in logs and in claims whose
// items are separated by spaces.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}$`)

// nameHint says what nameForm allows.
const nameHint = "a name begins with a letter or digit, has letters, digits and . _ : @ / - " +
	"only, and at most 128 of them"

// roles reads the section roles.
func (r *fileReader) roles(n ast.Node) map[string]*role {
	roles := make(map[string]*role)
	fields, ok := r.fields(n, "roles")
	if ok && len(fields) == 0 {
		r.fault(n, "roles must not be empty: leave it out if there are none")
	}
	for _, f := range fields {
		if !nameForm.MatchString(f.name) {
			r.fault(f.key, "the role %q: %s", f.name, nameHint)
		}
		role := &role{name: f.name}
		what := "the role " + f.name
		for _, item := range r.list(f.value, what, "give it a rule, or remove the role") {
			role.rules = append(role.rules, r.rule(item, "a rule of "+what))
		}
		roles[f.name] = role
	}
	return roles
}

// rule reads a rule of a role.
func (r *fileReader) rule(n ast.Node, what string) (rule roleRule) {
	members := r.members(n, what, []string{"bucket", "can"}, []string{"keys"})
	if bucket := members["bucket"]; bucket != nil {
		rule.rule.Bucket = r.bucketPattern(bucket)
	}
	if can := members["can"]; can != nil {
		rule.rule.Can = r.actions(can, what)
	}
	if keys, given := members["keys"]; given {
		rule.rule.Keys, rule.templates = r.keys(keys)
		if rule.rule.Can.Has(Configure) {
			r.fault(keys, "admin is the bucket itself with all its keys: remove keys, or use "+
				"read and write")
		}
	}
	rule.rule.Line, _ = place(n)
	return rule
}

// bucketPattern reads the name of a bucket, or a prefix of names.
func (r *fileReader) bucketPattern(n ast.Node) BucketPattern {
	text, ok := r.text(n, "bucket")
	if !ok {
		return BucketPattern{}
	}
	pattern, err := ParseBucketPattern(text)
	if err != nil {
		r.fault(n, "bucket %q: it must be the name of a bucket, or a beginning of names that ends "+
			"in *, such as shop-* or *", text)
	}
	return pattern
}

// actions reads what a rule allows.
func (r *fileReader) actions(n ast.Node, what string) (all Actions) {
	for _, w := range r.words(n, "can", "name what "+what+" allows, or remove the rule") {
		action, ok := ParseAction(w.text)
		if !ok {
			r.fault(w.node, "there is no action %q: use get, list, watch, put, delete, read (get, "+
				"list and watch), write (put and delete) or admin", w.text)
		}
		all |= action
	}
	return all
}

// keys reads the filters of a rule. If any has a place, it returns templates, and else filters.
func (r *fileReader) keys(n ast.Node) (kv.Filters, []keyTemplate) {
	var (
		templates []keyTemplate
		patterns  []string
		hasPlaces bool
	)
	const instead = "leave keys out for all keys of the bucket, or remove the rule for none"
	for _, w := range r.words(n, "keys", instead) {
		t, err := parseKeyTemplate(w.text)
		if err != nil {
			r.fault(w.node, "%v", err)
			continue
		}
		templates = append(templates, t)
		patterns = append(patterns, strings.Join(t.literals, "x"))
		hasPlaces = hasPlaces || !t.isLiteral()
	}
	filters, err := kv.ParseFilters(patterns)
	switch {
	case err != nil:
		r.fault(n, "keys: %v", err)
	case hasPlaces:
		return nil, templates
	}
	return filters, nil
}

// nameARole says what to do in the place of an empty list of roles.
const nameARole = "name a role, or remove the entry"

// roleNames reads a list of names of roles. A caller of this kind has no claims, so the roles must
// not need any.
func (r *fileReader) roleNames(
	n ast.Node, what, instead string, roles map[string]*role,
) (names []string) {
	for _, w := range r.words(n, what, instead) {
		role := roles[w.text]
		if role == nil {
			r.fault(w.node, "there is no role %q: add it to roles, or correct the name", w.text)
			continue
		}
		if claims := role.claims(); len(claims) > 0 {
			r.fault(w.node, "the role %s fills in the claim %s, which only a JWT has: use a role "+
				"without such a place here", w.text, claims[0])
			continue
		}
		names = append(names, w.text)
	}
	return names
}
