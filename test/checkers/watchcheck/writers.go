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

// maxBurst is how many writes go out at once at the most.
const maxBurst = 300

var client = &http.Client{Timeout: 5 * time.Second}

// fatValue is how large the values of some bursts are: a few of them are more than a gateway sends at once.
const fatValue = 4 << 10

// write stores, deletes and purges some 30 times a second, over HTTP or natively, and natively now and then in a burst; refusals during
// faults are expected.
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
		a := r.attempt(bucket, key, []string{"delete", "purge"}, random)
		if native {
			r.sendNative(a)
		} else {
			r.sendHTTP(ctx, a, "")
		}
		r.attempts.add(a)
		time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
	}
}

// hotKey is one of the few keys that are written all the time.
func hotKey(random *rand.Rand) string { return fmt.Sprintf("hot.k%d", random.IntN(4)) }

// attempt is a write that is yet to be made: in one of ten cases each a marker. Every value is another, so that it is known again.
func (r *run) attempt(bucket, key string, markers []string, random *rand.Rand) *Attempt {
	a := &Attempt{Bucket: bucket, Key: key, Op: "put"}
	if n := random.IntN(10); n < len(markers) && (bucket != "long" || n == 0) {
		a.Op = markers[n%len(markers)]
		return a
	}
	a.body = fmt.Appendf(nil, "value %d", r.serial.Add(1))
	if random.IntN(10) == 0 { // so that a minute of what nobody reads is more than the kernel takes
		a.fill(random.IntN(10 << 10))
	}
	a.Value = digest(a.body)
	return a
}

// fill makes a value that large.
func (a *Attempt) fill(size int) {
	const filler = " filler"
	a.body = append(a.body, strings.Repeat(filler, max(0, size-len(a.body))/len(filler))...)
}

// burst does not wait for acknowledgements. Where nothing is kept for long it overwrites faster than anybody reads.
func (r *run) burst(random *rand.Rand, bucket string) {
	key, keys, fat := "hot.k", 4, random.IntN(4) == 0
	if bucket == "long" {
		key, keys = "cold.k", 100
	}
	for range random.IntN(maxBurst) {
		a := r.attempt(bucket, fmt.Sprint(key, random.IntN(keys)), []string{"delete", "purge"}, random)
		if fat && a.Op == "put" {
			a.fill(fatValue)
			a.Value = digest(a.body)
		}
		_ = r.conn.PublishMsg(a.message())
	}
}

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

// sendNative publishes and notes what came of it. The acknowledgement does not tell the epoch: it counts for the life that the
// bucket had before and after.
func (r *run) sendNative(a *Attempt) {
	before := r.recorders[a.Bucket].current()
	answer, err := r.conn.RequestMsg(a.message(), 3*time.Second)
	if err != nil {
		return // nobody knows
	}
	var ack struct {
		Seq   uint64
		Error *struct {
			ErrCode int `json:"err_code"`
		}
	}
	if json.Unmarshal(answer.Data, &ack) != nil || len(answer.Data) == 0 {
		return // no responders; the client's own retries may have stored it
	}
	if ack.Error != nil {
		a.Outcome = refused
		return
	}
	if after := r.recorders[a.Bucket].current(); before != nil && before == after {
		a.Outcome, a.Revision, a.Epoch = acknowledged, ack.Seq, before.Epoch
	}
}

// sendHTTP makes the request, with a precondition if one is given, and notes what came of it.
func (r *run) sendHTTP(ctx context.Context, a *Attempt, ifMatch string) {
	method, query := http.MethodPut, ""
	if a.Op != "put" {
		method = http.MethodDelete
	}
	if a.Op == "purge" {
		query = "?purge=true"
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+r.addr+"/buckets/"+a.Bucket+"/keys/"+a.Key+query, strings.NewReader(string(a.body)))
	if err != nil {
		return
	}
	if ifMatch != "" {
		request.Header.Set("If-Match", ifMatch)
	}
	response, err := client.Do(request)
	if err != nil {
		return // nobody knows
	}
	defer response.Body.Close()
	a.read(response)
}

// read takes the answer by the contract: 4xx, 503 and 507 were certainly not stored, another refusal may have been.
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
	case status >= 400 && status < 500, status == http.StatusServiceUnavailable, status == http.StatusInsufficientStorage:
		a.Outcome = refused
	}
}
