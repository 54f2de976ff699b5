package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"kvgateway/internal/auth"
	"kvgateway/internal/kv"
)

// A slow stream is one about which it takes as long to decide as the test wants.
type slow struct {
	watcher
	// asked is told when the gate asks, and answer lets it go on.
	asked, answer chan struct{}
}

func (s *slow) StillAllowed(rights *auth.Rights) bool {
	s.asked <- struct{}{}
	<-s.answer
	return s.watcher.StillAllowed(rights)
}

// To decide about one caller with much under way can take long. Meanwhile others begin and end what
// they have under way, and those who have lost their rights have been told so.
func TestSlowDecisionDelaysNobody(t *testing.T) {
	t.Parallel()
	gate := auth.NewGate(watchersPolicy(t, "wide", "gone", "less"))
	wide := callerNamed(t, gate, "wide")
	first := &slow{asked: make(chan struct{}), answer: make(chan struct{})}
	gate.Tie(&first.tie, wide, first)
	closed := tied(t, gate, wide, "wide.a")
	gone := tied(t, gate, callerNamed(t, gate, "gone"), "gone.a")
	lost := tied(t, gate, callerNamed(t, gate, "less"), "less.a")

	text := strings.NewReplacer("wide.>", "other.>", "less.>", "more.>")
	after := watchersPolicyOf(t, text, "wide", "less")
	changed := make(chan struct{})
	go func() { gate.SetPolicy(after); close(changed) }()
	<-first.asked
	if !gone.wasTold(auth.RightsChanged) || !lost.wasTold(auth.RightsChanged) {
		t.Error("others learn of the loss of their rights later")
	}
	gate.Close(&closed.tie)
	begun := tied(t, gate, callerNamed(t, gate, "less"), "more.a")
	gate.Close(&begun.tie)
	// The tie of what was closed is used for something else.
	other := &watcher{key: kv.KnownKey("other.a")}
	gate.Tie(&closed.tie, callerNamed(t, gate, "wide"), other)
	if callers, underway := gate.Tied(); callers != 1 || underway != 2 {
		t.Errorf("%d callers have %d under way", callers, underway)
	}
	close(first.answer)
	<-changed
	if !first.wasTold(auth.RightsChanged) {
		t.Error("the slow one goes on")
	}
	if !closed.wasTold() || !other.wasTold() {
		t.Errorf("told: %v and %v", closed.told, other.told)
	}
}

// watchersPolicyOf is watchersPolicy with changes of the text.
func watchersPolicyOf(t testing.TB, changes *strings.Replacer, callers ...string) *auth.Policy {
	t.Helper()
	policy, err := auth.Parse([]byte(changes.Replace(watchersFile(callers...))))
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// A counted stream counts the decisions about it.
type counted struct {
	watcher
	decisions int
}

func (c *counted) StillAllowed(rights *auth.Rights) bool {
	c.decisions++
	return c.watcher.StillAllowed(rights)
}

// A caller whose rights stay the same is not decided about, except for what has begun with others.
func TestEqualRightsAreDecidedOnce(t *testing.T) {
	t.Parallel()
	none := strings.NewReplacer()
	gate := auth.NewGate(watchersPolicyOf(t, strings.NewReplacer("ann.>", "*.>"), "ann", "bob"))
	old := callerNamed(t, gate, "ann")
	gate.SetPolicy(watchersPolicyOf(t, none, "ann", "bob"))
	stays := &counted{watcher: watcher{key: kv.KnownKey("ann.a")}}
	gate.Tie(&stays.tie, callerNamed(t, gate, "ann"), stays)
	late := tied(t, gate, old, "other.a")
	if !late.wasTold(auth.RightsChanged) {
		t.Error("a stream goes on that began with rights of before")
	}
	stays.decisions = 0
	for range 3 {
		gate.SetPolicy(watchersPolicyOf(t, none, "ann", "bob"))
		gate.SetPolicy(watchersPolicyOf(t, none, "ann"))
	}
	if stays.decisions != 0 || !stays.wasTold() {
		t.Errorf("%d decisions", stays.decisions)
	}
	gate.SetPolicy(watchersPolicyOf(t, strings.NewReplacer("ann.>", "no.>"), "ann"))
	if stays.decisions != 1 || !stays.wasTold(auth.RightsChanged) {
		t.Errorf("%d decisions about a change", stays.decisions)
	}
}

// A wide stream has many filters.
type wide struct {
	watcher
	asked, narrowed kv.Filters
}

func (w *wide) StillAllowed(rights *auth.Rights) bool {
	now, some, err := rights.Narrow(auth.Watch, shop, w.asked)
	return err == nil && some && slices.Equal(now, w.narrowed)
}

// widePolicy returns a policy in which ann may watch n filters, and what more says.
func widePolicy(t *testing.T, n int, more string) *auth.Policy {
	t.Helper()
	var keys []string
	for i := range n {
		keys = append(keys, fmt.Sprintf("a%d.*.*.*.*.>", i))
	}
	return policyOf(t, fmt.Sprintf("roles:\n  r: [{ bucket: shop, keys: [%s], can: [watch] }%s]\n"+
		"tokens: [{ name: ann, sha256: \"%x\", roles: [r] }]\n", `"`+strings.Join(keys, `", "`)+`"`,
		more, sha256.Sum256([]byte(watcherToken("ann")))))
}

// The same filters of a caller are narrowed once, however many streams have them.
func TestEqualFiltersAreNarrowedOnce(t *testing.T) {
	t.Parallel()
	const streams, filters = 2000, 60
	gate := auth.NewGate(widePolicy(t, filters, ""))
	caller := callerNamed(t, gate, "ann")
	var names [2][]string
	for i := range filters {
		names[0] = append(names[0], fmt.Sprintf("a%d.b.c.d.e.f%d", i, i))
		names[1] = append(names[1], fmt.Sprintf("a%d.b.c.d.e.g%d", i, i))
	}
	began := time.Now()
	all := make([]wide, streams)
	for i := range all {
		asked, err := kv.ParseFilters(names[i%2])
		if err != nil {
			t.Fatal(err)
		}
		narrowed, some, err := caller.Rights.Narrow(auth.Watch, shop, asked)
		if err != nil || !some {
			t.Fatal(some, err)
		}
		all[i].asked, all[i].narrowed = asked, narrowed
	}
	each := time.Since(began)
	for i := range all {
		gate.Tie(&all[i].tie, caller, &all[i])
	}
	began = time.Now()
	gate.SetPolicy(widePolicy(t, filters, ", { bucket: other, can: [get] }"))
	if took := time.Since(began); took > each/3 {
		t.Errorf("the change took %v; to narrow each takes %v", took, each)
	}
	gate.SetPolicy(widePolicy(t, filters-1, ""))
	for i := range all {
		if !all[i].wasTold(auth.RightsChanged) {
			t.Fatalf("stream %d was told %v", i, all[i].told)
		}
	}
}

// A change checks no signature again, whatever changes. With ES512 that takes 1.5 ms.
func TestChangeChecksNoSignature(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const callers = 100
	key := signingKey{"1", jose.ES512, private}
	keys, more := keyFile(t, key), keyFile(t, key, a256())
	gate := gateOf(t, jwtFile(issuerEntry(issuerA, keys, "ES512")))
	tokens := make([]string, callers)
	for i := range tokens {
		tokens[i] = key.sign(t, nil, claimsOf(issuerA, body{"sub": fmt.Sprint("u", i)}))
	}
	streams := make([]*watcher, callers)
	began := time.Now()
	for i, token := range tokens {
		streams[i] = tied(t, gate, isAccepted(t, gate, token, "a new token"), "orders.a")
	}
	each := time.Since(began)
	const claims = "  more: [{ bucket: more, keys: [\"{claim.x}\"], can: [read] }]\n"
	for _, c := range []struct{ name, entry, role string }{
		{"nothing", issuerEntry(issuerA, keys, "ES512"), ""},
		{"keys", issuerEntry(issuerA, more, "ES512"), ""},
		{"algorithms", issuerEntry(issuerA, keys, "ES512", "RS256"), ""},
		{"audiences", strings.Replace(issuerEntry(issuerA, keys, "ES512"),
			"kv.example.com", "[x, kv.example.com]", 1), ""},
		{"claims", issuerEntry(issuerA, keys, "ES512"), claims},
	} {
		policy := policyOf(t, strings.Replace(jwtFile(c.entry), "roles:\n", "roles:\n"+c.role, 1))
		began := time.Now()
		gate.SetPolicy(policy)
		if took := time.Since(began); took > each/3 {
			t.Errorf("change of %s: %v; to check all tokens takes %v", c.name, took, each)
		}
	}
	for i := range streams {
		if !streams[i].wasTold() {
			t.Fatalf("stream %d was told %v", i, streams[i].told)
		}
	}
}

// A change ends the streams of JWTs that would not be accepted any more, or have lost their rights,
// and no others.
func TestChangeDecidesJWTsByWhatTheyAre(t *testing.T) {
	t.Parallel()
	keys := keyFile(t, a256())
	other := signingKey{"1", jose.RS256, rsaKey2()}
	second := signingKey{"2", jose.RS256, rsaKey2()}
	entry := issuerEntry(issuerA, keys, "RS256")
	swap := func(old, new string) string { return strings.Replace(entry, old, new, 1) }
	for _, c := range []struct {
		name, entries string
		changes       body
		goesOn        bool
	}{
		{"one more key", issuerEntry(issuerA, keyFile(t, a256(), second), "RS256"), nil, true},
		{"no such key", issuerEntry(issuerA, keyFile(t, second), "RS256"), nil, false},
		{"another key of the id", issuerEntry(issuerA, keyFile(t, other), "RS256"), nil, false},
		{"one more algorithm", issuerEntry(issuerA, keys, "PS256", "RS256"), nil, true},
		{"no such algorithm", issuerEntry(issuerA, keys, "PS256"), nil, false},
		{"an audience of the token", swap("kv.example.com", "kv.example.org"),
			body{"aud": []string{"kv.example.com", "kv.example.org"}}, true},
		{"another audience", swap("kv.example.com", "kv.example.org"), nil, false},
		{"a claim with the role", swap("roles_claim: roles", "roles_claim: groups"),
			body{"groups": "clerk"}, true},
		{"a claim with another role", swap("roles_claim: roles", "roles_claim: groups"),
			body{"groups": "own"}, false},
		{"no such issuer", issuerEntry(issuerB, keys, "RS256"), nil, false},
		{"NATS instead of the issuer", issuerEntry(issuerB, keys, "RS256") +
			"nats: { enabled: true }\n", nil, false},
	} {
		gate := gateOf(t, jwtFile(entry))
		caller := isAccepted(t, gate, a256().sign(t, nil, claimsOf(issuerA, c.changes)), c.name)
		stream := tied(t, gate, caller, "orders.a")
		gate.SetPolicy(policyOf(t, jwtFile(c.entries)))
		if goesOn := stream.wasTold(); goesOn != c.goesOn {
			t.Errorf("%s: it goes on: %v", c.name, goesOn)
		}
		now, err := gate.Current(caller)
		if isKnown := err == nil && may(now, auth.Get, "shop", "orders.a"); isKnown != c.goesOn {
			t.Errorf("%s: the caller is %v, %v", c.name, now, err)
		}
	}
}
