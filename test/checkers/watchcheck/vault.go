package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// The bucket "vault" has one key, which nobody else writes. So when the server loses the last
// write, its revision can be given to another value. The tag of the lost value must not match that.

const vaultKey = "/buckets/vault/keys/k"

func (r *run) createVault(ctx context.Context) error {
	if _, err := r.js.CreateStream(ctx, r.streamConfig("vault", 5, "nobody.vault.>")); err != nil {
		return err
	}
	return r.deposit(ctx, "first")
}

func (r *run) deposit(ctx context.Context, value string) error {
	return insist(ctx, func(ctx context.Context) error {
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		answer, err := r.conn.RequestWithContext(short, "$KV.vault.k", []byte(value))
		if err == nil && !strings.Contains(string(answer.Data), `"seq"`) {
			err = fmt.Errorf("the vault said %s", answer.Data)
		}
		return err
	})
}

// doomed stores a value that the server is about to lose, and returns the value's tag.
func (r *run) doomed(ctx context.Context) (tag string, err error) {
	if err := r.deposit(ctx, "lost"); err != nil {
		return "", err
	}
	err = insist(ctx, func(ctx context.Context) error {
		tag, err = r.vaultTag(ctx)
		return err
	})
	return tag, err
}

// vaultTag reads the value and returns its tag.
func (r *run) vaultTag(ctx context.Context) (string, error) {
	status, tag, err := r.vault(ctx, http.MethodGet, "", "")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the vault answered %d", status)
	}
	return tag, err
}

// compareTag stores another value under the revision of the lost one, and makes requests with the
// tag of the lost one.
func (r *run) compareTag(ctx context.Context, lost string) error {
	if err := r.deposit(ctx, "kept"); err != nil {
		return err
	}
	kept := ""
	err := insist(ctx, func(ctx context.Context) (err error) {
		kept, err = r.vaultTag(ctx)
		return err
	})
	a, _ := parsePosition(strings.Trim(lost, `"`))
	b, _ := parsePosition(strings.Trim(kept, `"`))
	if err != nil || a.revision != b.revision {
		return err // The write came later than planned, so that there is nothing to compare.
	}
	status, err := r.vaultBack(ctx, http.MethodGet, "If-None-Match", lost)
	if err == nil && status != http.StatusOK {
		r.found = append(r.found, Violation{"resumable", fmt.Sprintf(
			"the tag %s of a lost value: %d for another value", lost, status), 0})
	}
	status, err2 := r.vaultBack(ctx, http.MethodPut, "If-Match", lost)
	if err2 == nil && status != http.StatusPreconditionFailed {
		r.found = append(r.found, Violation{"acknowledged", fmt.Sprintf(
			"a PUT If-Match %s, the tag of a lost value, beside another: %d, want 412",
			lost, status), 0})
	}
	return errors.Join(err, err2)
}

// vault makes a request for the value, with one header if that is not "".
func (r *run) vault(ctx context.Context,
	method, header, value string) (status int, tag string, err error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+r.addr+vaultKey,
		strings.NewReader("overwritten"))
	if err != nil {
		return 0, "", err
	}
	if header != "" {
		request.Header.Set(header, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer drain(response.Body)
	return response.StatusCode, response.Header.Get("ETag"), nil
}

// vaultBack repeats a request until NATS is back. Reads and writes have connections of their own,
// each of which comes back when it does.
func (r *run) vaultBack(ctx context.Context, method, header, value string) (status int, err error) {
	for end := time.Now().Add(10 * time.Second); ; {
		status, _, err = r.vault(ctx, method, header, value)
		if err != nil || status != http.StatusServiceUnavailable || time.Now().After(end) {
			return status, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}
