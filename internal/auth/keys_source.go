package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"kvgateway/internal/bound"
)

const (
	// unknownKeyPause is how long at least passes between two fetches of an issuer's keys for the
	// sake of tokens whose key is not known.
	unknownKeyPause = 30 * time.Second
	// keysAge is the age from which keys are fetched again in the background, so that a key that
	// the issuer has withdrawn is not accepted for long.
	keysAge = 10 * time.Minute
	// keysLife is for how long keys are used after they were fetched, if no later fetch succeeds.
	keysLife = 24 * time.Hour
	// fetchTime bounds a fetch.
	fetchTime = 5 * time.Second
)

// A keySource says where the keys of an issuer are: at an address, or in a file.
type keySource struct {
	// url is the address; "" if there is a file.
	url string
	// file is the name of the file, and keys is what it had when the auth file was read.
	file string
	keys *keySet
}

// hasKeysOf reports whether the file of the source had the same keys as that of another one when
// each was read. It is true for two addresses.
func (s keySource) hasKeysOf(other keySource) bool {
	if s.keys == nil || other.keys == nil {
		return s.keys == other.keys
	}
	return s.keys.text == other.keys.text
}

// issuerKeys are the keys of one issuer in use. They belong to the issuer: a key of another one is
// never looked up here, whatever its id. A gate keeps them when a policy changes and the issuer
// still has the same source, so that a change of rules does not depend on the issuer's server.
//
//	event                            what happens
//	no keys yet                      they are fetched; requests wait, if not too many do already
//	a token has a key id that is     they are fetched, unless the last fetch began within 30 s;
//	not known                        then the token is refused
//	they are 10 min old              they are fetched, while the old ones are used (RefreshKeys)
//	a fetch fails                    the old ones are used, up to 24 h after they were fetched
//	other keys have come             everything that was decided with the old ones is decided anew
//
// One fetch at a time is under way, for all requests that need it.
type issuerKeys struct {
	// source is where they come from.
	source keySource
	// client fetches them.
	client *http.Client
	// changed is called after other keys have come.
	changed func()
	// failed is called with the reason of a fetch that failed.
	failed func(error)

	// current are the keys; nil if there are none yet.
	current atomic.Pointer[keySet]

	// mu guards the fields below.
	mu sync.Mutex
	// fetched is when the current ones were fetched, and tried when the last fetch began.
	fetched, tried time.Time
	// fetching is closed when the fetch that is under way has ended; nil if none is.
	fetching chan struct{}
}

// errNoKeys is the error for tokens of an issuer whose keys could not be fetched.
var errNoKeys = &Refusal{Unavailable: true, Detail: "The keys with which the token's issuer " +
	"signs cannot be fetched at the moment."}

// inUse returns the keys, nil if there are none.
func (k *issuerKeys) inUse() *keySet { return k.current.Load() }

// refresh begins to fetch the keys if they have become old, and drops them if they are too old. It
// does not wait. It is called often.
func (k *issuerKeys) refresh() {
	if k.source.file != "" {
		return
	}
	k.mu.Lock()
	now := time.Now()
	age := now.Sub(k.fetched)
	if age > keysAge && now.Sub(k.tried) > unknownKeyPause {
		k.fetch(now)
	}
	dropped := age > keysLife && k.current.Swap(nil) != nil
	k.mu.Unlock()
	if dropped {
		k.failed(fmt.Errorf("keys at %s: they are not used any more, since no fetch has succeeded "+
			"for %v", k.source.url, keysLife))
		k.changed()
	}
}

// renew begins to fetch the keys because those in use do not suffice, unless that was tried shortly
// before. It returns what is closed when a fetch that is under way has ended; nil if none is.
func (k *issuerKeys) renew() <-chan struct{} {
	if k.source.file != "" {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); now.Sub(k.tried) > unknownKeyPause {
		k.fetch(now)
	}
	return k.fetching
}

// renewed returns the keys of an issuer after they were fetched because those in use did not
// suffice, and the keys in use if that was tried shortly before. If too many wait for the fetch
// already, it is not known who is calling.
func (a *attempt) renewed(ctx context.Context, k *issuerKeys) (*keySet, error) {
	if fetching := k.renew(); fetching != nil {
		var place bound.Hold
		if !a.gate.keyWaits.Try(&place, a.presented.Address, 1, nil) {
			a.gate.keyWaits.Refuse()
			return nil, errNoKeys
		}
		defer place.Release()
		turn := bound.TurnOf(ctx)
		turn.Pause()
		defer turn.Resume()
		select {
		case <-fetching:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if keys := k.inUse(); keys != nil {
		return keys, nil
	}
	return nil, errNoKeys
}

// fetch begins to fetch the keys, unless that is under way already. k.mu is held.
func (k *issuerKeys) fetch(now time.Time) {
	if k.fetching != nil {
		return
	}
	k.tried = now
	done := make(chan struct{})
	k.fetching = done
	go func() {
		keys, err := k.get()
		k.mu.Lock()
		old := k.current.Load()
		isOther := err == nil && (old == nil || old.text != keys.text)
		if isOther {
			k.current.Store(keys)
		}
		if err == nil {
			k.fetched = time.Now()
		}
		k.fetching = nil
		k.mu.Unlock()
		if err != nil {
			k.failed(fmt.Errorf("keys at %s: %w", k.source.url, err))
		}
		close(done)
		if isOther && old != nil {
			k.changed()
		}
	}()
}

// get asks the issuer's server for the keys.
func (k *issuerKeys) get() (*keySet, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, k.source.url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	answer, err := k.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s, and must be 200 (redirects are not followed)",
			answer.Status)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxKeySetBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxKeySetBytes:
		return nil, errors.New("the answer is too long")
	}
	return parseKeys(text)
}

// newKeysClient returns a client that fetches keys through a transport. It follows no redirects:
// the address in the file is the only one that the operator trusts.
func newKeysClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}
