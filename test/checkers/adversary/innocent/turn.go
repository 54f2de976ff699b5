package innocent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"time"
)

// A turn is one operation of the client. It makes one request, or a few one after the other.
type turn struct {
	client *Client
	ctx    context.Context
	op     string
	random *rand.Rand
	bucket string
	due    time.Time // When the next request should have begun.
}

// turn begins an operation on a bucket that is drawn.
func (c *Client) turn(ctx context.Context, op string, random *rand.Rand) *turn {
	return &turn{client: c, ctx: ctx, op: op, random: random, due: time.Now(),
		bucket: Buckets[random.IntN(len(Buckets))]}
}

// An answer is the response to a request.
type answer struct {
	header   http.Header
	body     []byte
	revision uint64 // That of the JSON body, 0 if it has none.
}

// call sends a request, whose answer must have the wanted status, and records how long it took.
// Headers are pairs of name and value.
func (t *turn) call(method, path string, body []byte, want int,
	headers ...string) (*answer, error) {
	ctx, cancel := context.WithDeadline(t.ctx, t.due.Add(t.client.patience()))
	defer cancel()
	a, err := t.send(ctx, method, path, body, want, headers)
	t.done(err)
	return a, err
}

// done records the end of a request. The next one of the same turn is due at once.
func (t *turn) done(err error) {
	s := Sample{Op: t.op, At: t.due, Took: time.Since(t.due)}
	if err != nil {
		s.Err = err.Error()
	}
	t.client.sample(s)
	t.due = time.Now()
}

// send does what call does, and records nothing.
func (t *turn) send(ctx context.Context, method, path string, body []byte, want int,
	headers []string) (*answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+t.client.addr+path,
		bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{Transport: t.client.transports[t.random.IntN(len(t.client.transports))]}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	a := &answer{header: response.Header}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if response.StatusCode != want {
		return nil, fmt.Errorf("%s %s: %d instead of %d: %.300s", method, path, response.StatusCode,
			want, a.body)
	}
	var d struct{ Revision uint64 }
	_ = json.Unmarshal(a.body, &d) // Not every body is JSON.
	a.revision = d.Revision
	return a, nil
}

// wrong records that an answer was not what it should be.
func (t *turn) wrong(format string, args ...any) {
	t.client.sample(Sample{Op: t.op, At: t.due, Err: fmt.Sprintf(format, args...)})
}

// largest is the size of the largest values. They fit into a message with their headers.
const largest = 1_000_000

// value draws the i-th value. Sizes are spread evenly over their orders of magnitude, since most
// values of real clients are small. The first two values are empty and as large as possible.
func value(random *rand.Rand, i int) []byte {
	size := int(math.Pow(largest, random.Float64()))
	switch i {
	case 0:
		size = 0
	case 1:
		size = largest
	}
	v := make([]byte, size)
	for j := 0; j < len(v); j += 64 {
		v[j] = byte(random.Uint32())
	}
	return v
}
