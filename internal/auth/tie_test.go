package auth_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/auth"
	"kvgateway/internal/kv"
)

// A watcher is something under way that may go on as long as its caller may watch a key. It notes
// what it is told.
type watcher struct {
	key kv.Key
	tie auth.Tie

	mu   sync.Mutex
	told []auth.End
}

func (s *watcher) StillAllowed(rights *auth.Rights) bool {
	return rights.May(auth.Watch, shop, s.key)
}

func (s *watcher) End(reason auth.End, _ time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, reason)
}

// wasTold reports whether the stream was told just these ends.
func (s *watcher) wasTold(want ...auth.End) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Equal(s.told, want)
}

// shop is the bucket of these tests.
var shop = func() kv.BucketName {
	name, err := kv.ParseBucketName("shop")
	if err != nil {
		panic(err)
	}
	return name
}()

// watcherToken is the token of the caller of that name.
func watcherToken(name string) string { return auth.TokenPrefix + name }

// watchersPolicy returns a policy of [watchersFile].
func watchersPolicy(t testing.TB, callers ...string) *auth.Policy {
	t.Helper()
	policy, err := auth.Parse([]byte(watchersFile(callers...)))
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// watchersFile returns an auth file in which these callers may watch the keys below their name. A
// name may be followed by a space and the end of its token.
func watchersFile(callers ...string) string {
	var roles, tokens strings.Builder
	for _, caller := range callers {
		name, expires, ends := strings.Cut(caller, " ")
		fmt.Fprintf(&roles, "  %s:\n    - { bucket: shop, keys: [\"%s.>\"], can: [watch] }\n",
			name, name)
		fmt.Fprintf(&tokens, "  - { name: %s, sha256: \"%x\", roles: [%s]", name,
			sha256.Sum256([]byte(watcherToken(name))), name)
		if ends {
			fmt.Fprintf(&tokens, ", expires: %s", expires)
		}
		tokens.WriteString(" }\n")
	}
	return "roles:\n" + roles.String() + "tokens:\n" + tokens.String()
}

// until returns the name of a caller whose token ends at a time.
func until(name string, end time.Time) string {
	return name + " " + end.UTC().Format(time.RFC3339)
}

// callerNamed returns the caller of that name.
func callerNamed(t testing.TB, gate *auth.Gate, name string) *auth.Caller {
	t.Helper()
	caller, err := gate.Identify(t.Context(), &auth.Presented{
		Authorization: []string{"Bearer " + watcherToken(name)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return caller
}

// tied begins a stream of a caller for a key.
func tied(t testing.TB, gate *auth.Gate, caller *auth.Caller, key string) *watcher {
	t.Helper()
	k, err := kv.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s := &watcher{key: k}
	gate.Tie(&s.tie, caller, s)
	return s
}

// A change of rules ends what it does not allow any more, and nothing else.
func TestChangeOfRulesEndsWhatIsNotAllowedAnyMore(t *testing.T) {
	t.Parallel()
	const callers, streams = 100, 5
	var before, after []string
	for i := range callers {
		before = append(before, fmt.Sprintf("c%d", i))
		if i%3 != 0 {
			after = append(after, before[i])
		}
	}
	gate := auth.NewGate(watchersPolicy(t, before...))
	all := make([][]*watcher, callers)
	for i, name := range before {
		for range streams {
			all[i] = append(all[i], tied(t, gate, callerNamed(t, gate, name), name+".a"))
		}
	}
	if callers, underway := gate.Tied(); callers != 100 || underway != 500 {
		t.Errorf("%d callers with %d streams", callers, underway)
	}
	gate.SetPolicy(watchersPolicy(t, after...))
	for i := range all {
		for _, s := range all[i] {
			if gone := i%3 == 0; gone && !s.wasTold(auth.RightsChanged) || !gone && !s.wasTold() {
				t.Errorf("a stream of c%d was told %v", i, s.told)
			}
			gate.Close(&s.tie)
			gate.Close(&s.tie)
		}
	}
	if callers, underway := gate.Tied(); callers+underway != 0 {
		t.Errorf("%d callers with %d streams are left behind", callers, underway)
	}
}

// Of the streams of one caller only those end for which it has lost the right.
func TestLostRightEndsTheStreamsThatNeedIt(t *testing.T) {
	t.Parallel()
	const text = "roles:\n  r:\n    - { bucket: shop, keys: [%s], can: [watch] }\n" +
		"tokens:\n  - { name: a, sha256: \"%x\", roles: [r] }\n"
	gate := auth.NewGate(nil)
	for i, keys := range []string{"x.>, y.>", "y.>"} {
		hash := sha256.Sum256([]byte(watcherToken("a")))
		policy, err := auth.Parse(fmt.Appendf(nil, text, keys, hash))
		if err != nil {
			t.Fatal(err)
		}
		gate.SetPolicy(policy)
		if i > 0 {
			break
		}
		caller := callerNamed(t, gate, "a")
		lost, kept := tied(t, gate, caller, "x.1"), tied(t, gate, caller, "y.1")
		defer func() {
			if !lost.wasTold(auth.RightsChanged) || !kept.wasTold() {
				t.Errorf("told %v and %v", lost.told, kept.told)
			}
		}()
	}
}

// A stream that is opened while the rules change, by the rules of before, ends at once. One whose
// caller has kept the right goes on.
func TestFollowingAfterAChangeOfRulesIsDecidedAnew(t *testing.T) {
	t.Parallel()
	gate := auth.NewGate(watchersPolicy(t, "gone", "stays"))
	gone, stays := callerNamed(t, gate, "gone"), callerNamed(t, gate, "stays")
	gate.SetPolicy(watchersPolicy(t, "stays"))
	if s := tied(t, gate, gone, "gone.a"); !s.wasTold(auth.RightsChanged) {
		t.Errorf("the stream of a caller that is gone was told %v", s.told)
	}
	if s := tied(t, gate, stays, "stays.a"); !s.wasTold() {
		t.Errorf("the stream of a caller that stays was told %v", s.told)
	}
	if _, err := gate.Current(gone); err == nil {
		t.Error("the caller that is gone is still known")
	}
	if now, err := gate.Current(stays); err != nil || now.Name != "stays" {
		t.Errorf("the caller that stays is %v, %v", now, err)
	}
}

// However changes of rules and beginnings coincide, nothing goes on that is not allowed.
func TestStreamsThatBeginDuringChangesAreDecided(t *testing.T) {
	t.Parallel()
	with, without := watchersPolicy(t, "a", "b"), watchersPolicy(t, "b")
	for range 200 {
		gate := auth.NewGate(with)
		caller := callerNamed(t, gate, "a")
		var s *watcher
		var group sync.WaitGroup
		group.Go(func() { gate.SetPolicy(without) })
		group.Go(func() { s = tied(t, gate, caller, "a.x") })
		group.Wait()
		if !s.wasTold(auth.RightsChanged) {
			t.Fatalf("the stream was told %v", s.told)
		}
	}
}

// Of several changes at the same time the last that was put in force decides.
func TestLastOfSeveralChangesDecides(t *testing.T) {
	t.Parallel()
	with, without := watchersPolicy(t, "a", "b"), watchersPolicy(t, "b")
	for range 100 {
		gate := auth.NewGate(with)
		s := tied(t, gate, callerNamed(t, gate, "a"), "a.x")
		var group sync.WaitGroup
		for _, policy := range []*auth.Policy{with, without, with, without} {
			group.Go(func() { gate.SetPolicy(policy) })
		}
		group.Wait()
		if !s.wasTold(auth.RightsChanged) {
			t.Fatalf("the stream was told %v", s.told)
		}
	}
}

// A credential that ends is announced, and ends what it began. What begins in the last seconds is
// not told to come again at once, since it would do so over and over.
func TestCredentialEndsWhatItBegan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(time.Hour)
		gate := auth.NewGate(watchersPolicy(t,
			until("a", end), until("b", end.Add(time.Hour)), "c"))
		a := tied(t, gate, callerNamed(t, gate, "a"), "a.x")
		b := tied(t, gate, callerNamed(t, gate, "b"), "b.x")
		c := tied(t, gate, callerNamed(t, gate, "c"), "c.x")
		time.Sleep(time.Hour - auth.ExpiryNotice - time.Millisecond)
		synctest.Wait()
		if !a.wasTold() {
			t.Errorf("told %v too early", a.told)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		late := tied(t, gate, callerNamed(t, gate, "a"), "a.x")
		time.Sleep(auth.ExpiryNotice - time.Millisecond)
		synctest.Wait()
		if !a.wasTold(auth.CredentialExpiring) || !late.wasTold() {
			t.Errorf("told %v, and the late one %v", a.told, late.told)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if !a.wasTold(auth.CredentialExpiring, auth.CredentialExpired) ||
			!late.wasTold(auth.CredentialExpired) {
			t.Errorf("in the end told %v, and the late one %v", a.told, late.told)
		}
		if !b.wasTold() || !c.wasTold() {
			t.Errorf("others were told %v and %v", b.told, c.told)
		}
		gate.Close(&c.tie)
		time.Sleep(time.Hour)
		synctest.Wait()
		if !b.wasTold(auth.CredentialExpiring, auth.CredentialExpired) {
			t.Errorf("the next was told %v", b.told)
		}
		if callers, _ := gate.Tied(); callers != 0 {
			t.Errorf("%d callers are left behind", callers)
		}
	})
}

// A caller who is identified anew is tied with the end of the credential that counts now, whether
// that is later, earlier or never.
func TestNewEndOfACredentialCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		in := func(hours time.Duration) time.Time { return start.Add(hours * time.Hour) }
		gate := auth.NewGate(watchersPolicy(t, until("later", in(1)), until("earlier", in(9)),
			until("never", in(1)), "now"))
		all := make(map[string]*watcher)
		for _, name := range []string{"later", "earlier", "never", "now"} {
			all[name] = tied(t, gate, callerNamed(t, gate, name), name+".x")
		}
		gate.SetPolicy(watchersPolicy(t, until("later", in(3)), until("earlier", in(2)), "never",
			until("now", in(4))))
		for hour, ended := range []string{"", "", "earlier", "later", "now"} {
			time.Sleep(time.Until(in(time.Duration(hour)).Add(time.Second)))
			synctest.Wait()
			for name, s := range all {
				switch {
				case name == ended:
					if !s.wasTold(auth.CredentialExpiring, auth.CredentialExpired) {
						t.Errorf("after %d h %s was told %v", hour, name, s.told)
					}
					delete(all, name)
				case !s.wasTold():
					t.Errorf("after %d h %s was told %v", hour, name, s.told)
				}
			}
		}
		if len(all) != 1 || all["never"] == nil {
			t.Errorf("%v go on", all)
		}
	})
}

// BenchmarkChangeOfRules measures a change of rules with 10,000 streams, of one caller or of as
// many.
func BenchmarkChangeOfRules(b *testing.B) {
	for _, callers := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			var names []string
			for i := range callers {
				names = append(names, fmt.Sprintf("c%d", i))
			}
			policies := []*auth.Policy{watchersPolicy(b, names...), watchersPolicy(b, names...)}
			gate := auth.NewGate(policies[0])
			for i := range 10_000 {
				name := names[i%callers]
				tied(b, gate, callerNamed(b, gate, name), name+".x")
			}
			for i := 0; b.Loop(); i++ {
				gate.SetPolicy(policies[i%2])
			}
		})
	}
}
