package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Entries of "brief" have times to live of their own, and vanish without a marker. Its mirror, and
// the bucket that has it as a source, keep those entries, since their streams do not act on the
// header of the messages. None of the three is ever created again.

var copyNames = []string{"brief", "mirror", "sourced"}

func (r *run) createCopies(ctx context.Context) (err error) {
	creates := map[string]func(context.Context, string) error{
		"brief": func(ctx context.Context, destination string) error {
			config := r.streamConfig("brief", 1, destination)
			config.AllowMsgTTL = true
			_, err := r.js.CreateStream(ctx, config)
			return err
		},
		"mirror": func(ctx context.Context, _ string) error {
			_, err := r.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
				Bucket:  "mirror",
				History: 1,
				Mirror:  &jetstream.StreamSource{Name: "brief"},
			})
			return err
		},
		"sourced": func(ctx context.Context, destination string) error {
			_, err := r.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
				Bucket:    "sourced",
				History:   1,
				Sources:   []*jetstream.StreamSource{{Name: "brief"}},
				RePublish: &jetstream.RePublish{Source: ">", Destination: destination},
			})
			return err
		},
	}
	for _, bucket := range copyNames {
		of := bucket
		if bucket == "mirror" {
			of = "brief" // Its messages have the same revisions.
		}
		recorder, err := NewRecorder(r.natsAddr, bucket, of)
		if err != nil {
			return err
		}
		recorder.keepsAll = bucket != "brief"
		r.recorders[bucket] = recorder
		if err := recorder.Create(ctx, 1, creates[bucket]); err != nil {
			return fmt.Errorf("create %s: %w", bucket, err)
		}
	}
	return nil
}

// streamConfig returns the configuration of a bucket's stream, except that messages may be deleted.
func (r *run) streamConfig(bucket string, history int, destination string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              "KV_" + bucket,
		Subjects:          []string{"$KV." + bucket + ".>"},
		MaxMsgsPerSubject: int64(history),
		Discard:           jetstream.DiscardNew,
		AllowRollup:       true,
		AllowDirect:       true,
		Duplicates:        2 * time.Minute,
		MaxMsgs:           -1,
		MaxBytes:          -1,
		MaxMsgSize:        -1,
		MaxConsumers:      -1,
		RePublish:         &jetstream.RePublish{Source: ">", Destination: destination},
	}
}

// writeBrief stores entries of which some expire.
func (r *run) writeBrief(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		a := r.attempt("brief", fmt.Sprintf("ttl.k%d", random.IntN(40)), []string{"delete"}, random)
		if a.Op == "put" && random.IntN(3) > 0 {
			a.ttl = time.Duration(2+random.IntN(3)) * time.Second
		}
		r.sendNative(a)
		r.attempts.add(a)
		time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
	}
}

// lags returns when the copies may have lagged: a server that starts again asks for what it missed
// some time later.
func (r *run) lags() (windows []Window) {
	for _, i := range r.incidents {
		if i.On == ofSource {
			windows = append(windows, Window{i.Start, i.End.Add(15 * time.Second)})
		}
	}
	return windows
}
