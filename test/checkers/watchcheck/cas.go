package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// compareAndSet reads a key and stores it on the condition that it is what was read, over HTTP or natively. Nothing else writes
// these keys, so that each revision's predecessor is the one that its writer had read.
func (r *run) compareAndSet(ctx context.Context, random *rand.Rand, native bool) {
	for ctx.Err() == nil {
		bucket, key := bucketNames[random.IntN(len(bucketNames))], fmt.Sprintf("cas.k%d", random.IntN(3))
		a := r.attempt(bucket, key, []string{"delete"}, random)
		a.Conditional = true
		update := r.updateHTTP
		if native {
			update = r.updateNative
		}
		if update(ctx, a) {
			r.attempts.add(a)
		}
		time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
	}
}

// updateNative returns false if it could not read what to compare with.
func (r *run) updateNative(ctx context.Context, a *Attempt) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	kv, err := r.js.Stream(ctx, "KV_"+a.Bucket)
	if err != nil {
		return false
	}
	m, err := kv.GetLastMsgForSubject(ctx, "$KV."+a.Bucket+"."+a.Key)
	switch {
	case err == nil:
		a.Expected = m.Sequence
	case err != jetstream.ErrMsgNotFound:
		return false
	}
	r.sendNative(a)
	return true
}

// updateHTTP takes the tag of what it read, a marker's and that of a key never written included.
func (r *run) updateHTTP(ctx context.Context, a *Attempt) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.addr+"/buckets/"+a.Bucket+"/keys/"+a.Key, nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	tag := response.Header.Get("ETag")
	at, ok := parsePosition(strings.Trim(tag, `"`))
	if tag == `"0"` {
		ok = true // it was never written
	}
	if !ok {
		return false // a refusal
	}
	a.Expected, a.ExpectedEpoch = at.revision, at.epoch
	if response.StatusCode == http.StatusNotFound && a.Op != "put" {
		a.Op, a.body = "put", fmt.Appendf(nil, "value %d", r.serial.Add(1)) // there is nothing to delete
		a.Value = digest(a.body)
	}
	r.sendHTTP(ctx, a, tag)
	return true
}
