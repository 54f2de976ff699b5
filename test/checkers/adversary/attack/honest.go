package attack

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// Honest is the harmless load beside which the innocent client is measured for comparison: GETs of
// values of up to 64 KB on 32 connections, at most rate a second in all.
func Honest(ctx context.Context, t *Target, rate int) {
	const workers = 32
	each(workers, func(i int) {
		random := rand.New(rand.NewPCG(1, uint64(i)))
		for ctx.Err() == nil {
			began := time.Now()
			key := inBucket + "keys/honest." + honestKeys[random.IntN(3)]
			t.Do(ctx, http.MethodGet, key, "", nil)
			each := time.Second * workers / time.Duration(rate)
			pause(ctx, time.Until(began.Add(each)))
		}
	})
}

// honestKeys are the keys that Honest reads, named after the sizes of their values.
var honestKeys = []string{"100", "4000", "64000"}

// SetupHonest stores what Honest reads.
func SetupHonest(ctx context.Context, t *Target) error {
	for i, size := range []int{100, 4000, 64000} {
		path := inBucket + "keys/honest." + honestKeys[i]
		_, err := t.must(ctx, http.MethodPut, path, "text/plain", make([]byte, size))
		if err != nil {
			return err
		}
	}
	return nil
}

// drain reads the body of an answer to its end.
func drain(response *http.Response) {
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
}
