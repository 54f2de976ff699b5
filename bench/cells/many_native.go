package cells

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/bench/load"
)

// nativePuts stores a tenth of the entries, which takes long enough one after the other.
func (l *manyLab) nativePuts(ctx context.Context) (float64, error) {
	value := load.Payload(manyValueBytes)
	return timed(l.entries/10, func() error {
		for i := range l.entries / 10 {
			if _, err := l.kv.Put(ctx, manyKey(i), value); err != nil {
				return err
			}
		}
		return nil
	})
}

// nativeAsync stores all entries without waiting for each, as the gateway does. The KV API has no
// such thing.
func (l *manyLab) nativeAsync(ctx context.Context) (float64, error) {
	js, err := jetstream.New(l.nc, jetstream.WithPublishAsyncMaxPending(512))
	if err != nil {
		return 0, err
	}
	value := load.Payload(manyValueBytes)
	return timed(l.entries, func() error {
		for i := range l.entries {
			subject := "$KV." + manyBucket + "." + manyKey(i)
			if _, err := js.PublishAsync(subject, value); err != nil {
				return err
			}
		}
		select {
		case <-js.PublishAsyncComplete():
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// nativeWatch reads all entries.
func (l *manyLab) nativeWatch(ctx context.Context) (float64, error) {
	return timed(l.entries, func() error {
		watcher, err := l.kv.WatchAll(ctx)
		if err != nil {
			return err
		}
		entries := 0
		for e := range watcher.Updates() {
			if e == nil {
				break
			}
			entries++
		}
		if entries != l.entries {
			err = fmt.Errorf("the watch has %d entries", entries)
		}
		return errors.Join(err, watcher.Stop())
	})
}
