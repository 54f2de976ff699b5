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

// compareAndSet reads a key and stores it on condition that it is still what was read, over HTTP or
// natively. Nothing else writes these keys, so each revision's predecessor is the one that its
// writer had read.
func (r *run) compareAndSet(ctx context.Context, random *rand.Rand, native bool) {
	for ctx.Err() == nil {
		bucket := bucketNames[random.IntN(len(bucketNames))]
		key := fmt.Sprintf("cas.k%d", random.IntN(3))
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

// updateNative sends the write. It returns false if it could not read what to compare with.
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

// updateHTTP sends the write with the tag of what it read, which may be a marker or a key that was
// never written. It returns false if it could not read.
func (r *run) updateHTTP(ctx context.Context, a *Attempt) bool {
	url := "http://" + r.addr + "/buckets/" + a.Bucket + "/keys/" + a.Key
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
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
		ok = true // The key was never written.
	}
	if !ok {
		return false // The read was refused.
	}
	a.Expected, a.ExpectedEpoch = at.revision, at.epoch
	if response.StatusCode == http.StatusNotFound && a.Op != "put" {
		// There is nothing to delete.
		a.Op, a.body = "put", fmt.Appendf(nil, "value %d", r.serial.Add(1))
		a.Value = digest(a.body)
	}
	r.sendHTTP(ctx, a, tag)
	return true
}
