package auth_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
)

// An idServer is the server of an issuer, without a network.
type idServer struct {
	mu sync.Mutex
	// asked are the addresses for which it was asked.
	asked []string
	// status and body are what it answers; status 0 fails.
	status int
	body   string
}

// RoundTrip answers a request.
func (s *idServer) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.URL.String())
	if s.status == 0 {
		return nil, errors.New("no connection")
	}
	return &http.Response{StatusCode: s.status, Status: http.StatusText(s.status), Request: r,
		Header: http.Header{"Location": {"https://a.example.com/other"}},
		Body:   io.NopCloser(strings.NewReader(s.body))}, nil
}

// answer sets what it answers from now on.
func (s *idServer) answer(status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.body = status, body
}

// fetches returns how often it was asked.
func (s *idServer) fetches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// A roundTripper answers requests with a function.
type roundTripper func(r *http.Request) (*http.Response, error)

// RoundTrip answers a request.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// gateAt returns a gate whose issuer A has its keys at a server.
func gateAt(t *testing.T, s *idServer) *auth.Gate {
	t.Helper()
	file := jwtFile(issuerEntry(issuerA, issuerA+"/jwks.json", "RS256"))
	return auth.NewGateWith(policyOf(t, file), auth.Options{Transport: s})
}

// isUnavailable fails unless it cannot be decided whether a token is valid.
func isUnavailable(t *testing.T, gate *auth.Gate, token, why string) {
	t.Helper()
	_, err := identify(t, gate, "Bearer "+token)
	refusal, ok := errors.AsType[*auth.Refusal](err)
	if !ok || !refusal.Unavailable || refusal.Invalid {
		t.Errorf("%s: %v", why, err)
	}
}

func TestKeysAreFetchedOnceForAllRequests(t *testing.T) {
	t.Parallel()
	var fetches atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			fetches.Add(1)
			_, _ = io.WriteString(w, jwks(t, a256()))
		}))
	defer server.Close()
	gate := auth.NewGateWith(policyOf(t, jwtFile(issuerEntry(issuerA, server.URL, "RS256"))),
		auth.Options{Transport: server.Client().Transport})
	var group sync.WaitGroup
	for i := range 50 {
		token := a256().sign(t, nil, claimsOf(issuerA, body{"sub": fmt.Sprint("s", i)}))
		group.Go(func() { isAccepted(t, gate, token, "the first tokens") })
	}
	group.Wait()
	if n := fetches.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
}

// Whoever can make the issuer's server redirect, or makes a name lead elsewhere, must not choose
// the keys.
func TestKeysFetchFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	var other atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/other", http.StatusFound)
	})
	mux.HandleFunc("/other", func(w http.ResponseWriter, r *http.Request) {
		other.Add(1)
		_, _ = io.WriteString(w, jwks(t, a256()))
	})
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	file := jwtFile(issuerEntry(issuerA, server.URL+"/keys", "RS256"))
	gate := auth.NewGateWith(policyOf(t, file),
		auth.Options{Transport: server.Client().Transport})
	isUnavailable(t, gate, a256().sign(t, nil, claimsOf(issuerA, nil)), "a redirect")
	if other.Load() > 0 {
		t.Error("the redirect was followed")
	}
}

func TestKeysThatCannotBeUsedAreRefused(t *testing.T) {
	t.Parallel()
	token := a256().sign(t, nil, claimsOf(issuerA, nil))
	for name, s := range map[string]*idServer{
		"no connection": {}, "an error": {status: 500, body: jwks(t, a256())},
		"no content": {status: 200}, "no JSON": {status: 200, body: "<html>"},
		"no keys":     {status: 200, body: `{"keys":[]}`},
		"secret keys": {status: 200, body: `{"keys":[{"kty":"oct","k":"AAAA","kid":"1"}]}`},
		"too long": {status: 200, body: jwks(t, a256()) +
			strings.Repeat(" ", 256<<10)},
		"too many": {status: 200, body: `{"keys":[` + strings.Repeat(`{"kty":"x"},`, 100) +
			strings.TrimPrefix(jwks(t, a256()), `{"keys":[`)},
		"for encryption": {status: 200, body: strings.Replace(jwks(t, a256()), `"sig"`, `"enc"`,
			1)},
	} {
		isUnavailable(t, gateAt(t, s), token, name)
	}
}

// No address of keys comes from a token.
func TestKeysAddressIsThatOfTheFile(t *testing.T) {
	t.Parallel()
	s := &idServer{status: 200, body: jwks(t, a256())}
	gate := gateAt(t, s)
	key := a256()
	evil := "https://evil.example.com"
	for _, token := range []string{
		key.sign(t, nil, claimsOf(evil, nil)),
		key.sign(t, nil, claimsOf(issuerA+"/../evil", nil)),
		key.sign(t, body{"jku": evil}, claimsOf(evil, body{"jwks_uri": evil, "azp": evil})),
	} {
		isRefused(t, gate, token, "issuer", "an unknown issuer")
	}
	if n := s.fetches(); n != 0 {
		t.Errorf("%q was asked for the sake of unknown issuers", s.asked)
	}
	isAccepted(t, gate, key.sign(t, body{"jku": evil, "x5u": evil}, claimsOf(issuerA, nil)), "good")
	for _, address := range s.asked {
		if address != issuerA+"/jwks.json" {
			t.Errorf("%s was asked", address)
		}
	}
}

func TestKeysUnknownIDCausesOneFetchIn30Seconds(t *testing.T) {
	t.Parallel()
	old, next := a256(), signingKey{"2", jose.RS256, rsaKey2()}
	synctest.Test(t, func(t *testing.T) {
		s := &idServer{status: 200, body: jwks(t, old)}
		gate := gateAt(t, s)
		good := old.sign(t, nil, claimsOf(issuerA, nil))
		isAccepted(t, gate, good, "the first token")
		s.answer(200, jwks(t, old, next))
		renewed := next.sign(t, nil, claimsOf(issuerA, nil))
		for range 100 {
			isRefused(t, gate, renewed, "kid", "within 30 s of the last fetch")
			time.Sleep(290 * time.Millisecond)
		}
		if n := s.fetches(); n != 1 {
			t.Errorf("within 30 s the keys were fetched %d times", n)
		}
		time.Sleep(2 * time.Second)
		isAccepted(t, gate, renewed, "after 30 s")
		isAccepted(t, gate, good, "the first token again")
		for i := range 100 {
			id := fmt.Sprint("x", i)
			isRefused(t, gate, signingKey{id, jose.RS256, rsaKey()}.sign(t, nil,
				claimsOf(issuerA, nil)), "kid", "an unknown id")
		}
		if n := s.fetches(); n != 2 {
			t.Errorf("the keys were fetched %d times", n)
		}
	})
}

// Whoever names keys that no issuer has can make requests wait for a fetch, but only so many of
// them, and not those of other addresses.
func TestKeysFetchKeepsFewWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		slow := roundTripper(func(r *http.Request) (*http.Response, error) {
			<-release
			return nil, errors.New("no answer")
		})
		file := jwtFile(issuerEntry(issuerA, issuerA+"/jwks.json", "RS256"))
		gate := auth.NewGateWith(policyOf(t, file), auth.Options{Transport: slow})
		token := "Bearer " + a256().sign(t, nil, claimsOf(issuerA, nil))
		var done atomic.Int32
		ask := func(address string) {
			if _, err := from(t, gate, address, token); err == nil || isLimited(err) {
				t.Errorf("without any keys: %v", err)
			}
			done.Add(1)
		}
		var group sync.WaitGroup
		for range 500 {
			group.Go(func() { ask("192.0.2.1") })
		}
		synctest.Wait()
		if waiting := 500 - done.Load(); waiting != 128 {
			t.Errorf("%d requests of one address wait", waiting)
		}
		group.Go(func() { ask("192.0.2.2") })
		synctest.Wait()
		if done.Load() != 500-128 {
			t.Error("that of another address does not wait")
		}
		close(release)
		group.Wait()
	})
}

// If the issuer's server fails, its tokens go on; a key that it has withdrawn does not.
func TestKeysAreFetchedAgainAndStayIfThatFails(t *testing.T) {
	t.Parallel()
	old, next := a256(), signingKey{"2", jose.RS256, rsaKey2()}
	synctest.Test(t, func(t *testing.T) {
		s := &idServer{status: 200, body: jwks(t, old)}
		var failures atomic.Int32
		file := jwtFile(issuerEntry(issuerA, issuerA+"/jwks.json", "RS256"))
		gate := auth.NewGateWith(policyOf(t, file), auth.Options{
			Transport: s, KeysFailed: func(error) { failures.Add(1) },
		})
		late := body{"exp": time.Now().Add(100 * time.Hour).Unix()}
		token := old.sign(t, nil, claimsOf(issuerA, late))
		caller := isAccepted(t, gate, token, "at first")
		stream := tied(t, gate, caller, "orders.1")
		pass := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Minute) {
				gate.RefreshKeys()
				synctest.Wait()
			}
		}
		s.answer(0, "")
		pass(23 * time.Hour)
		isAccepted(t, gate, token, "after 23 h without the issuer")
		isAccepted(t, gate, old.sign(t, nil, claimsOf(issuerA, body{"sub": "bob"})), "another one")
		if failures.Load() < 20 || s.fetches() > 24*60 || !stream.wasTold() {
			t.Errorf("%d failures, %d fetches; the stream was told %v", failures.Load(),
				s.fetches(), stream.told)
		}
		pass(2 * time.Hour)
		isUnavailable(t, gate, token, "after 25 h without the issuer")
		if !stream.wasTold(auth.RightsChanged) {
			t.Errorf("the stream was told %v", stream.told)
		}

		s.answer(200, jwks(t, old))
		pass(time.Hour)
		again := tied(t, gate, isAccepted(t, gate, token, "it is back"), "orders.1")
		s.answer(200, jwks(t, next))
		pass(12 * time.Minute)
		isRefused(t, gate, token, "kid", "its key was withdrawn")
		if !again.wasTold(auth.RightsChanged) {
			t.Errorf("the stream of a withdrawn key was told %v", again.told)
		}
	})
}

// A change of rules must not depend on the issuer's server, and a change of what is said of the
// issuer must not leave its tokens valid.
func TestKeysAndTokensStayIfOnlyRulesChange(t *testing.T) {
	t.Parallel()
	s := &idServer{status: 200, body: jwks(t, a256())}
	file := jwtFile(issuerEntry(issuerA, issuerA+"/jwks.json", "RS256"))
	gate := auth.NewGateWith(policyOf(t, file), auth.Options{Transport: s})
	token := a256().sign(t, nil, claimsOf(issuerA, nil))
	isAccepted(t, gate, token, "at first")
	s.answer(0, "")

	gate.SetPolicy(policyOf(t, strings.ReplaceAll(file, "orders.>", "stock.>")))
	caller := isAccepted(t, gate, token, "with other rules")
	if may(caller, auth.Get, "shop", "orders.1") || !may(caller, auth.Get, "shop", "stock.1") {
		t.Error("the caller has the rights of before")
	}
	bob := a256().sign(t, nil, claimsOf(issuerA,
		body{"sub": "bob", "roles": "own", "tenant": "t"}))
	isAccepted(t, gate, bob, "a new token")
	gate.SetPolicy(policyOf(t, strings.ReplaceAll(file, "{claim.tenant}", "{claim.other}")))
	isRefused(t, gate, bob, "claim other", "a claim is filled in that the token lacks")
	gate.SetPolicy(policyOf(t, strings.ReplaceAll(file, "{claim.tenant}", "{claim.aud}")))
	isRefused(t, gate, bob, "claim aud", "a claim is filled in that has dots")
	gate.SetPolicy(policyOf(t, strings.ReplaceAll(file, "{claim.tenant}", "{claim.roles}")))
	isAccepted(t, gate, bob, "a claim is filled in that was not before")

	s.answer(200, jwks(t, a256()))
	for what, change := range map[string]string{
		"audience": "kv.example.com", "algorithms": "[RS256]", "issuer": issuerA + "\"",
		"claim of roles": "roles_claim: roles",
	} {
		others := map[string]string{"kv.example.com": "kv.example.org", "[RS256]": "[ES256]",
			issuerA + "\"": issuerB + "\"", "roles_claim: roles": "roles_claim: groups"}
		gate.SetPolicy(policyOf(t, file))
		isAccepted(t, gate, token, "before "+what)
		gate.SetPolicy(policyOf(t, strings.Replace(file, change, others[change], 1)))
		if what == "claim of roles" {
			if may(isAccepted(t, gate, token, what), auth.Get, "shop", "stock.1") {
				t.Error("the roles of the other claim count")
			}
			continue
		}
		if caller, err := identify(t, gate, "Bearer "+token); err == nil {
			t.Errorf("after a change of the %s it is %s", what, caller.Name)
		}
	}
}

// A token that was valid is not checked again, but its end counts.
func TestJWTThatIsKnownEndsAllTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := gateA(t)
		end := time.Now().Add(time.Minute)
		token := a256().sign(t, nil, claimsOf(issuerA, body{"exp": end.Unix()}))
		isAccepted(t, gate, token, "before its end")
		time.Sleep(time.Until(end) - time.Millisecond)
		isAccepted(t, gate, token, "a moment before its end")
		time.Sleep(time.Millisecond)
		isRefused(t, gate, token, "expired", "at its end")
	})
}

// A request that waits for keys is not at work.
func TestTurnPausesWhileKeysAreFetched(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	const keys = "https://a.example.com/jwks.json"
	gate := auth.NewGateWith(policyOf(t, jwtFile(issuerEntry(issuerA, keys, "RS256"))),
		auth.Options{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			close(asked)
			<-answer
			return nil, errors.New("no connection")
		})})
	work := bound.NewSet().New(bound.Spec{Name: "work", Of: "requests", Unit: bound.Places,
		Limit: 1, PerOwner: 1, AtLimit: "others wait"})
	turn := bound.NewTurn(work, "a")
	if err := turn.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	token := a256().sign(t, nil, claimsOf(issuerA, nil))
	ended := make(chan error)
	go func() {
		_, err := gate.Identify(bound.WithTurn(t.Context(), "a", turn),
			&auth.Presented{Authorization: []string{"Bearer " + token}})
		ended <- err
	}()
	<-asked
	for deadline := time.Now().Add(10 * time.Second); work.Used() > 0; {
		if time.Now().After(deadline) {
			t.Fatal("a request that waits is at work")
		}
		runtime.Gosched()
	}
	close(answer)
	if err := <-ended; err == nil || work.Used() != 1 {
		t.Errorf("it ended with %v, and has %d places", err, work.Used())
	}
}
