package handlers_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A rightsModel is a caller with some rules of one bucket, as docs/security.md describes them. It
// shares no code with the gateway.
type rightsModel []modelRule

// A modelRule allows some actions with the keys that a filter selects.
type modelRule struct{ filter, can string }

// modelActions are what the rules of the model can have in can.
var modelActions = map[string][]string{
	"read": {"get", "list", "watch"}, "write": {"put", "delete"}, "get": {"get"},
	"list": {"list"}, "watch": {"watch"}, "put": {"put"}, "delete,list": {"delete", "list"},
}

// may reports whether all actions are allowed with a key.
func (m rightsModel) may(key string, actions ...string) bool {
	for _, action := range actions {
		if !slices.ContainsFunc(m, func(r modelRule) bool {
			return slices.Contains(modelActions[r.can], action) && modelMatches(r.filter, key)
		}) {
			return false
		}
	}
	return true
}

// modelMatches reports whether a filter selects a key.
func modelMatches(filter, key string) bool {
	wanted, tokens := strings.Split(filter, "."), strings.Split(key, ".")
	for i, want := range wanted {
		switch {
		case want == ">":
			return i < len(tokens)
		case i >= len(tokens) || want != "*" && want != tokens[i]:
			return false
		}
	}
	return len(wanted) == len(tokens)
}

// modelTokens are those of the keys: they differ in case, and one begins as another one does.
var modelTokens = []string{"a", "A", "ab", "b"}

// modelKeys returns keys of up to three tokens.
func modelKeys() (keys []string) {
	for i, first := range modelTokens {
		keys = append(keys, first)
		for j, second := range modelTokens {
			keys = append(keys, first+"."+second)
			if (i+j)%2 == 0 {
				keys = append(keys, first+"."+second+"."+modelTokens[(i*j)%4])
			}
		}
	}
	slices.Sort(keys)
	return keys
}

// modelFilter returns a filter at random.
func modelFilter(random *rand.Rand) string {
	tokens := make([]string, 1+random.IntN(3))
	for i := range tokens {
		tokens[i] = append([]string{"*", "*"}, modelTokens...)[random.IntN(6)]
	}
	if random.IntN(3) == 0 {
		tokens[len(tokens)-1] = ">"
	}
	return strings.Join(tokens, ".")
}

// A modelCheck compares the gateway with the model.
type modelCheck struct {
	*guarded
	session *session
	keys    []string
	model   rightsModel
	// filters are those of the requests.
	filters []string
}

// query returns a query with the filters, each after the given text.
func (c *modelCheck) query(before string) string {
	return "?" + before + strings.Join(c.filters, "&"+before)
}

// selected returns the keys that the filters select and with which the actions are allowed.
func (c *modelCheck) selected(actions ...string) (selected []string) {
	for _, key := range c.keys {
		if slices.ContainsFunc(c.filters, func(f string) bool { return modelMatches(f, key) }) &&
			c.model.may(key, actions...) {
			selected = append(selected, key)
		}
	}
	return selected
}

// keysIn returns the members key of the lines, or of the entries, of an answer.
func keysIn(body []byte) (keys []string) {
	for _, part := range bytes.Split(body, []byte(`"key":"`))[1:] {
		key, _, _ := strings.Cut(string(part), `"`)
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return slices.Compact(keys) // A stream may tell more than one entry of a key.
}

// lists compares what is listed: nothing that the caller may not see, and all that it may.
func (c *modelCheck) lists(t *testing.T, target string, actions ...string) {
	t.Helper()
	want := c.selected(actions...)
	a := c.session.do(t, "GET", target, nil, bearer("ann"), asLines)
	if a.status == 403 && len(want) == 0 {
		return // Whether the filters and the rules have keys in common decides, not the keys.
	}
	if got := keysIn(a.is(t, 200).body); !slices.Equal(got, want) {
		t.Errorf("%s has %v, not %v; rules %v", target, got, want, c.model)
	}
}

// watches is lists for the snapshot of a stream.
func (c *modelCheck) watches(t *testing.T, target string) {
	t.Helper()
	want := c.selected("watch")
	p := &prover{gateway: c.gateway}
	answer := p.askStream(t, target, []string{bearer("ann"), asLines})
	if strings.HasPrefix(answer, "403") && len(want) == 0 {
		return
	}
	got := keysIn([]byte(answer))
	if !strings.HasPrefix(answer, "200") || !slices.Equal(got, want) {
		t.Errorf("%s has %v, not %v; rules %v", target, got, want, c.model)
	}
}

// allows compares whether a request is done.
func (c *modelCheck) allows(
	t *testing.T, want bool, method, target, body string, header ...string,
) {
	t.Helper()
	a := c.session.do(t, method, target, body, append(header, bearer("ann"))...)
	if a.status != 200 && a.status != 403 || (a.status == 200) != want {
		t.Errorf("%s %s %s: status %d; rules %v", method, target, body, a.status, c.model)
	}
}

// of compares what is done with two keys.
func (c *modelCheck) of(t *testing.T, key, other string) {
	t.Helper()
	m := c.model
	for _, resource := range []string{"keys/", "entries/", "history/"} {
		c.allows(t, m.may(key, "get"), "GET", "/buckets/shop/"+resource+key, "")
	}
	c.allows(t, m.may(key, "put"), "PUT", "/buckets/shop/keys/"+key, "v")
	c.allows(t, m.may(key, "put") && m.may(other, "put"), "POST", "/buckets/shop/transactions",
		fmt.Sprintf(`{"operations":[{"op":"put","key":%q,"text":"v"},`+
			`{"op":"put","key":%q,"text":"v"}]}`, key, other), jsonType)
}

// deletes checks that a deletion by filter changes nothing that the caller may not. It may be
// refused although each key of it is allowed, if no single rule has the whole filter.
func (c *modelCheck) deletes(t *testing.T) {
	t.Helper()
	target := "/buckets/shop/keys" + c.query("filter=") + "&dry_run=true"
	a := c.session.do(t, "DELETE", target, nil, bearer("ann"))
	may, all := c.selected("delete", "list"), c.selected()
	if a.status != 403 && (a.status != 200 || len(may) < len(all)) {
		t.Errorf("%s is answered %d %s; rules %v", target, a.status, a.body, c.model)
	}
}

// Whatever the rules of a caller are, and whatever it asks for, each route shows and does exactly
// what the rules allow.
func TestEachRouteAllowsWhatTheRulesDo(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("the seed is %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c := &modelCheck{guarded: startGuarded(t, []string{"op > admin"}), keys: modelKeys()}
	c.do(t, "PUT", "/buckets/shop", `{"allow_atomic":true}`, jsonType, bearer("op")).is(t, 201)
	for _, key := range c.keys {
		c.do(t, "PUT", "/buckets/shop/keys/"+key, "v", bearer("op")).is(t, 200)
	}
	actions := slices.Sorted(maps.Keys(modelActions))
	for range 100 {
		c.session, c.model, c.filters = c.gateway.session(t), nil, nil
		rules := []string{"op > admin"}
		for range 1 + random.IntN(5) {
			rule := modelRule{modelFilter(random), actions[random.IntN(len(actions))]}
			c.model = append(c.model, rule)
			rules = append(rules, "ann "+rule.filter+" "+rule.can)
		}
		for range 1 + random.IntN(3) {
			c.filters = append(c.filters, modelFilter(random))
		}
		c.change(t, rules...)
		c.lists(t, "/buckets/shop/keys"+c.query("filter="), "list")
		c.lists(t, "/buckets/shop/entries"+c.query("filter="), "list", "get")
		c.lists(t, "/buckets/shop/entries"+c.query("filter=")+"&limit=1000", "list", "get")
		c.watches(t, "/buckets/shop/watch"+c.query("filter="))
		c.watches(t, "/watch"+c.query("watch=shop:"))
		c.deletes(t)
		i := random.IntN(len(c.keys))
		c.of(t, c.keys[i], c.keys[(i+1+random.IntN(len(c.keys)-1))%len(c.keys)])
		c.session.conn.Close()
	}
}
