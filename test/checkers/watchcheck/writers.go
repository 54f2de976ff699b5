package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// maxBurst is the number of writes that go out at once at most.
const maxBurst = 300

var client = &http.Client{Timeout: 5 * time.Second}

// fatValue is the size of the values of some bursts. A few of them are more than a gateway sends at
// once.
const fatValue = 4 << 10

// The values of the keys below large. are so large, and so many, that a snapshot of their bucket
// fills several of the batches of 2 MiB in which the gateway reads it. nats-server passes a message
// over at the end of each, if the bucket keeps a history.
const (
	largeBucket   = "five"
	largeKeys     = 16
	smallestLarge = 100 << 10
	largestLarge  = 300 << 10
)

// write stores, deletes and purges some 30 times a second, over HTTP or natively, and natively now
// and then in a burst. Refusals during faults are expected.
func (r *run) write(ctx context.Context, random *rand.Rand, native bool) {
	for ctx.Err() == nil {
		bucket, key := bucketNames[random.IntN(len(bucketNames))], hotKey(random)
		if bucket == "long" || random.IntN(4) == 0 {
			key = fmt.Sprintf("cold.k%d", random.IntN(100))
		}
		if random.IntN(100) == 0 {
			key = "quiet.k"
		}
		if native && random.IntN(50) == 0 {
			r.burst(random, bucket)
		}
		large := bucket == largeBucket && random.IntN(40) == 0
		if large {
			key = fmt.Sprintf("large.k%d", random.IntN(largeKeys))
		}
		a := r.attempt(bucket, key, []string{"delete", "purge"}, random)
		if large && a.Op == "put" {
			a.fill(smallestLarge + random.IntN(largestLarge-smallestLarge))
			a.Value = digest(a.body)
		}
		if native {
			r.sendNative(a)
		} else {
			r.sendHTTP(ctx, a, "")
		}
		r.attempts.add(a)
		time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
	}
}

// hotKey returns one of the few keys that are written all the time.
func hotKey(random *rand.Rand) string { return fmt.Sprintf("hot.k%d", random.IntN(4)) }

// attempt makes up a write. Each marker that is named is one write in ten. Every value is another,
// so that it can be recognised.
func (r *run) attempt(bucket, key string, markers []string, random *rand.Rand) *Attempt {
	a := &Attempt{Bucket: bucket, Key: key, Op: "put"}
	if n := random.IntN(10); n < len(markers) && (bucket != "long" || n == 0) {
		a.Op = markers[n%len(markers)]
		return a
	}
	a.body = fmt.Appendf(nil, "value %d", r.serial.Add(1))
	if random.IntN(10) == 0 { // So that a minute of unread values is more than the kernel takes.
		a.fill(random.IntN(10 << 10))
	}
	a.Value = digest(a.body)
	return a
}

// fill extends a value to a size.
func (a *Attempt) fill(size int) {
	const filler = " filler"
	a.body = append(a.body, strings.Repeat(filler, max(0, size-len(a.body))/len(filler))...)
}

// burst publishes without waiting for acknowledgements. Where little is kept it overwrites faster
// than anybody reads.
func (r *run) burst(random *rand.Rand, bucket string) {
	key, keys, fat := "hot.k", 4, random.IntN(4) == 0
	if bucket == "long" {
		key, keys = "cold.k", 100
	}
	for range random.IntN(maxBurst) {
		one := fmt.Sprint(key, random.IntN(keys))
		a := r.attempt(bucket, one, []string{"delete", "purge"}, random)
		if fat && a.Op == "put" {
			a.fill(fatValue)
			a.Value = digest(a.body)
		}
		_ = r.conn.PublishMsg(a.message())
	}
}

// message returns a write as a native client publishes it.
func (a *Attempt) message() *nats.Msg {
	m := nats.NewMsg("$KV." + a.Bucket + "." + a.Key)
	switch a.Op {
	case "delete":
		m.Header.Set("KV-Operation", "DEL")
	case "purge":
		m.Header.Set("KV-Operation", "PURGE")
		m.Header.Set("Nats-Rollup", "sub")
	}
	if a.Conditional {
		m.Header.Set("Nats-Expected-Last-Subject-Sequence", fmt.Sprint(a.Expected))
	}
	if a.ttl > 0 {
		m.Header.Set("Nats-TTL", a.ttl.String())
	}
	m.Data = a.body
	return m
}

// sendNative publishes a write and notes the outcome. The acknowledgement does not say the epoch,
// so it counts only if the bucket had the same life before and after.
func (r *run) sendNative(a *Attempt) {
	before := r.recorders[a.Bucket].current()
	answer, err := r.conn.RequestMsg(a.message(), 3*time.Second)
	if err != nil {
		return // The outcome stays unknown.
	}
	var ack struct {
		Seq   uint64
		Error *struct {
			ErrCode int `json:"err_code"`
		}
	}
	if json.Unmarshal(answer.Data, &ack) != nil || len(answer.Data) == 0 {
		return // There were no responders, and the client's own retries may have stored it.
	}
	if ack.Error != nil {
		a.Outcome = refused
		return
	}
	if after := r.recorders[a.Bucket].current(); before != nil && before == after {
		a.Outcome, a.Revision, a.Epoch = acknowledged, ack.Seq, before.Epoch
	}
}

// sendHTTP makes the request, with a precondition if one is given, and notes the outcome.
func (r *run) sendHTTP(ctx context.Context, a *Attempt, ifMatch string) {
	method, query := http.MethodPut, ""
	if a.Op != "put" {
		method = http.MethodDelete
	}
	if a.Op == "purge" {
		query = "?purge=true"
	}
	url := "http://" + r.addr + "/buckets/" + a.Bucket + "/keys/" + a.Key + query
	body := strings.NewReader(string(a.body))
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return
	}
	if ifMatch != "" {
		request.Header.Set("If-Match", ifMatch)
	}
	response, err := client.Do(request)
	if err != nil {
		return // The outcome stays unknown.
	}
	defer response.Body.Close()
	a.read(response)
}

// read notes the outcome as the contract defines it: after 4xx, 503 or 507 the write is certainly
// not stored, and after another refusal it may be.
func (a *Attempt) read(response *http.Response) {
	var stored struct {
		Revision uint64
		Epoch    string
	}
	a.Status = response.StatusCode
	body, err := io.ReadAll(response.Body)
	switch status := response.StatusCode; {
	case status < 300 && err == nil && json.Unmarshal(body, &stored) == nil:
		a.Outcome, a.Revision, a.Epoch = acknowledged, stored.Revision, stored.Epoch
	case status >= 400 && status < 500, status == http.StatusServiceUnavailable,
		status == http.StatusInsufficientStorage:
		a.Outcome = refused
	}
}
