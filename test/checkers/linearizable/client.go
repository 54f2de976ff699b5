package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"time"
)

// answerTimeout is how long a client waits for an answer. It is longer than a gateway waits for
// NATS.
const answerTimeout = 4 * time.Second

// A gatewayClient talks to one gateway.
type gatewayClient struct {
	base string
	http *http.Client
}

func newGatewayClient(addr string) *gatewayClient {
	transport := &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true}
	return &gatewayClient{base: "http://" + addr, http: &http.Client{Transport: transport}}
}

// A request is what a client sends.
type request struct {
	method, path string
	body         []byte
	header       map[string]string
	// cutAfter, if it is not 0, is the time after which the client ends the connection.
	cutAfter time.Duration
}

// An answer is the response to a request.
type answer struct {
	status int
	header http.Header
	body   []byte
	code   string // The code of a problem.
	// again says that net/http had sent the request before, on a connection that broke. It does so
	// if there is an Idempotency-Key.
	again bool
}

// errNotSent says that the gateway was not reached, so that nothing was done.
var errNotSent = errors.New("not sent")

// do sends a request. It returns errNotSent, or any other error if the outcome is not known. A
// request that could not be sent a second time may still have been sent the first time.
func (c *gatewayClient) do(ctx context.Context, r request) (*answer, error) {
	wait := answerTimeout
	if r.cutAfter > 0 {
		wait = r.cutAfter
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	for name, text := range r.header {
		req.Header.Set(name, text)
	}
	sent := 0
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent++ }}
	req = req.WithContext(httptrace.WithClientTrace(ctx, trace))
	response, err := c.http.Do(req)
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" && sent == 0 {
		return nil, errNotSent
	}
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	a := &answer{status: response.StatusCode, header: response.Header, again: sent > 1}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		return nil, err
	}
	if response.Header.Get("Content-Type") == "application/problem+json" {
		var problem struct{ Type string }
		if err := json.Unmarshal(a.body, &problem); err == nil {
			a.code = strings.TrimPrefix(problem.Type, "/problems/")
		}
	}
	return a, nil
}

// tag returns the revision and the epoch that the answer's ETag names.
func (a *answer) tag() (revision uint64, epoch string, err error) {
	tag, ok := strings.CutPrefix(a.header.Get("ETag"), `"`)
	tag, ok2 := strings.CutSuffix(tag, `"`)
	number, epoch, _ := strings.Cut(tag, "-")
	revision, err = strconv.ParseUint(number, 10, 64)
	if err != nil || !ok || !ok2 {
		return 0, "", fmt.Errorf("ETag %q", a.header.Get("ETag"))
	}
	epoch, _, _ = strings.Cut(epoch, ".") // The check of the revision follows the dot.
	return revision, epoch, nil
}

func (a *answer) String() string {
	return fmt.Sprintf("%d %.300s", a.status, bytes.TrimSpace(a.body))
}

// A fate is what an answer says about whether anything was done.
type fate uint8

const (
	answered fate = iota // It says what became of the operation.
	nothing              // Nothing was done, for a passing reason.
	open                 // The outcome is not known.
	wrong                // This request must not be answered so.
)

// fateOf classifies an answer. It believes what the contract calls certain: if the write was done
// nevertheless, some read sees it.
func fateOf(a *answer, err error) fate {
	switch {
	case errors.Is(err, errNotSent):
		return nothing
	case err != nil:
		return open
	}
	switch a.code {
	case "":
		return answered
	case "nats-unavailable", "shutting-down", "write-contention", "overloaded", "busy", "timeout",
		"revision-not-reached":
		return nothing
	case "outcome-unknown":
		return open
	case "key-not-found", "key-deleted", "revision-mismatch", "key-exists", "patch-test-failed",
		"transaction-failed", "already-applied":
		return answered
	}
	return wrong
}
