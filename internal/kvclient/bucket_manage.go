package kvclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/jsonpatch"
	"kvgateway/internal/kv"
)

// CreateBucket creates a bucket. Created is false if it exists with this very configuration; if it
// exists with another, the error is a *[kv.BucketExistsError]. Other errors are a
// *[kv.ConfigError], [kv.ErrBadBucket], [kv.ErrStorageExhausted], [kv.ErrUnavailable] and
// [kv.ErrOutcomeUnknown].
//
// The server says that it created a stream also if it found the same one (did_create, measured), so
// the bucket is asked for first. Of two clients that create the same bucket at the very same time,
// both may be told that they did.
func (c *Client) CreateBucket(
	ctx context.Context, name kv.BucketName, config kv.BucketConfig,
) (status kv.BucketStatus, created bool, err error) {
	config.Normalize()
	invalid := config.Validate(kv.BucketConfig{})
	status, err = c.existing(ctx, name, config)
	switch {
	case invalid != nil && err != nil:
		return kv.BucketStatus{}, false, invalid
	case !errors.Is(err, kv.ErrBucketNotFound):
		return status, false, err
	}
	var info streamInfoResponse
	err = c.createStream(ctx, name, streamConfig(name, config), &info)
	refused, ok := errors.AsType[*kv.APIError](err)
	if ok && refused.ErrCode == errCodeStreamNameInUse {
		status, err := c.existing(ctx, name, config) // somebody else created it meanwhile
		return status, false, err
	}
	if err != nil {
		return kv.BucketStatus{}, false, configRefusal(name, config.Storage, err)
	}
	return c.bucketStatus(name, &info), true, nil
}

// existing returns a bucket that is there already, if it is the same as far as the KV API can tell.
// Settings of the stream that the KV API does not know, and that another tool may have changed, do
// not count. A configuration that was read is the same in any case, even if it could not be created
// in this way, such as that of a mirror which another tool has made of a stream that is no bucket.
// It returns [kv.ErrBucketNotFound], [kv.ErrBadBucket] or a *[kv.BucketExistsError].
func (c *Client) existing(
	ctx context.Context, name kv.BucketName, config kv.BucketConfig,
) (kv.BucketStatus, error) {
	_, info, err := c.lookUp(ctx, c.writes, name)
	if err != nil {
		return kv.BucketStatus{}, notSent(err)
	}
	have := bucketConfig(info.Config)
	found, err := kv.Differences(have, config)
	if len(found) > 0 {
		found, err = kv.Differences(have, bucketConfig(streamConfig(name, config)))
	}
	if err != nil {
		return kv.BucketStatus{}, err
	}
	if len(found) > 0 {
		return kv.BucketStatus{}, &kv.BucketExistsError{Differences: found}
	}
	return c.bucketStatus(name, info), nil
}

// createStream creates a stream, if need be with several attempts within the timeout: the server
// may still be removing the files of a stream of that name that was deleted a moment ago.
func (c *Client) createStream(
	ctx context.Context, name kv.BucketName, config jetstream.StreamConfig,
	info *streamInfoResponse,
) error {
	giveUp := time.Now().Add(c.timeout)
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		*info = streamInfoResponse{} // without the refusal of the attempt before
		err := c.changeStream(ctx, "STREAM.CREATE", name, config, info)
		e, ok := errors.AsType[*kv.APIError](err)
		if !ok || e.ErrCode != errCodeStoreNotCreated || time.Now().After(giveUp) {
			return err
		}
		time.Sleep(wait)
	}
}

// changeStream sends a stream's configuration to the API. If no answer comes, the outcome is
// unknown.
func (c *Client) changeStream(
	ctx context.Context, request string, name kv.BucketName, config any, info *streamInfoResponse,
) error {
	defer c.forget(name)
	err := c.api(ctx, c.writes, request+"."+name.Stream(), config, info)
	if errors.Is(err, nats.ErrMaxPayload) {
		return &kv.ConfigError{Reason: "it is larger than the NATS server's max_payload"}
	}
	return unanswered(err)
}

// configRefusal turns the refusal of a configuration that the server does not take into a
// *[kv.ConfigError], or into what bucketError or ofMemory says. The server answers some of these
// like a 500.
func configRefusal(name kv.BucketName, storage kv.Storage, err error) error {
	err = bucketError(name, err)
	if storage == kv.MemoryStorage {
		err = ofMemory(err)
	}
	e, unnamed := err.(*kv.APIError)
	if unnamed && (e.Code < 500 || e.ErrCode == errCodeInvalidStreamConfig ||
		e.ErrCode == errCodeReplicasNotSupported) {
		return &kv.ConfigError{Reason: e.Description}
	}
	return err
}

// UpdateBucket applies a JSON merge patch (RFC 7396) to a bucket's configuration; null puts a field
// back to its default. Only the settings of fields that change are sent changed, so that settings
// which the KV API does not know stay. Of two updates at once the last one wins, as in NATS. It
// returns [kv.ErrBucketNotFound], and otherwise the errors of CreateBucket.
func (c *Client) UpdateBucket(
	ctx context.Context, name kv.BucketName, patch []byte,
) (kv.BucketStatus, error) {
	return c.UpdateBucketIf(ctx, name, patch, func(_, _ kv.BucketConfig) error { return nil })
}

// UpdateBucketIf is UpdateBucket, if allow returns nil for the configuration that the bucket has
// and the one that it would have. Otherwise it returns the error of allow.
func (c *Client) UpdateBucketIf(
	ctx context.Context, name kv.BucketName, patch []byte,
	allow func(before, after kv.BucketConfig) error,
) (kv.BucketStatus, error) {
	var raw struct {
		apiResponse
		Config json.RawMessage       `json:"config"`
		State  jetstream.StreamState `json:"state"`
	}
	if err := c.api(ctx, c.writes, "STREAM.INFO."+name.Stream(), nil, &raw); err != nil {
		return kv.BucketStatus{}, notSent(bucketError(name, err))
	}
	var current jetstream.StreamConfig
	settings := make(map[string]json.RawMessage)
	err := errors.Join(json.Unmarshal(raw.Config, &current), json.Unmarshal(raw.Config, &settings))
	if err != nil {
		return kv.BucketStatus{}, fmt.Errorf("%w: stream configuration: %w",
			kv.ErrUnexpectedAnswer, err)
	}
	if err := checkBucket(name, current); err != nil {
		return kv.BucketStatus{}, err
	}
	next, err := patched(bucketConfig(current), patch)
	if err != nil {
		return kv.BucketStatus{}, err
	}
	if err := allow(bucketConfig(current), next); err != nil {
		return kv.BucketStatus{}, err
	}
	if current.Mirror != nil && next.Mirror == nil && raw.State.Msgs > 0 {
		return kv.BucketStatus{}, &kv.ConfigError{Reason: "a mirror keeps its entries under the " +
			"origin's subjects, where they would be out of reach; make a new bucket with the " +
			"origin in sources"}
	}
	if err := changeSettings(settings, name, current, next); err != nil {
		return kv.BucketStatus{}, err
	}
	var info streamInfoResponse
	if err := c.changeStream(ctx, "STREAM.UPDATE", name, settings, &info); err != nil {
		return kv.BucketStatus{}, configRefusal(name, next.Storage, err)
	}
	return c.bucketStatus(name, &info), nil
}

// patched applies a merge patch to a configuration.
func patched(config kv.BucketConfig, patch []byte) (kv.BucketConfig, error) {
	document, err := json.Marshal(config)
	if err != nil {
		return kv.BucketConfig{}, fmt.Errorf("encode bucket configuration: %w", err)
	}
	merged, err := jsonpatch.Merge(document, patch, jsonpatch.MaxBytes)
	if err == nil && !bytes.HasPrefix(kv.TrimJSON(patch), []byte("{")) {
		err = errors.New("it is not a JSON object")
	}
	if err != nil {
		reason := fmt.Sprintf("the patch cannot be applied: %v", err)
		return kv.BucketConfig{}, &kv.ConfigError{Reason: reason}
	}
	next := kv.DefaultBucketConfig()
	if err := json.Unmarshal(merged, &next); err != nil {
		return kv.BucketConfig{}, &kv.ConfigError{Reason: JSONReason(err)}
	}
	next.Normalize()
	return next, next.Validate(config)
}

// JSONReason says for a client why JSON could not be read into a configuration.
func JSONReason(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("%s cannot be %s", e.Field, e.Value)
	}
	return err.Error()
}

// changeSettings puts into the stream's settings what differs between its current configuration and
// the wanted one.
func changeSettings(
	settings map[string]json.RawMessage, name kv.BucketName, current jetstream.StreamConfig,
	c kv.BucketConfig,
) error {
	before, err := settingsOf(streamConfig(name, bucketConfig(current)))
	if err != nil {
		return err
	}
	after, err := settingsOf(streamConfig(name, c))
	if err != nil {
		return err
	}
	for setting := range maps.Keys(after) {
		if string(before[setting]) != string(after[setting]) && setting != "metadata" {
			settings[setting] = after[setting]
		}
	}
	for setting := range maps.Keys(before) {
		if _, kept := after[setting]; !kept && setting != "metadata" {
			delete(settings, setting)
		}
	}
	return keepServerSettings(settings, current, c)
}

// keepServerSettings keeps what the KV API does not set by itself but would break: the server's
// metadata, message TTLs, which can never be switched off, and a duplicate window that somebody
// chose.
func keepServerSettings(
	settings map[string]json.RawMessage, current jetstream.StreamConfig, c kv.BucketConfig,
) error {
	metadata := maps.Clone(c.Metadata)
	for key, value := range current.Metadata {
		if kv.IsServerMetadata(key) {
			if metadata == nil {
				metadata = make(map[string]string)
			}
			metadata[key] = value
		}
	}
	window := current.Duplicates
	isDefault := window == duplicateWindow(kv.Duration(current.MaxAge))
	if isDefault || c.TTL > 0 && window > time.Duration(c.TTL) {
		window = duplicateWindow(c.TTL)
	}
	return errors.Join(
		set(settings, "metadata", metadata),
		set(settings, "duplicate_window", window),
		set(settings, "allow_msg_ttl", current.AllowMsgTTL || c.LimitMarkerTTL != 0),
	)
}

// set puts the JSON of a value into settings.
func set(settings map[string]json.RawMessage, name string, value any) error {
	data, err := json.Marshal(value)
	settings[name] = data
	return err
}

// settingsOf returns a stream's configuration as JSON, by the names of its settings.
func settingsOf(s jetstream.StreamConfig) (map[string]json.RawMessage, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode stream configuration: %w", err)
	}
	var settings map[string]json.RawMessage
	err = json.Unmarshal(data, &settings)
	return settings, err
}

// DeleteBucket deletes a bucket and everything that it holds. It returns [kv.ErrBucketNotFound],
// [kv.ErrBadBucket], [kv.ErrUnavailable], or [kv.ErrOutcomeUnknown].
func (c *Client) DeleteBucket(ctx context.Context, name kv.BucketName) error {
	if _, err := c.bind(ctx, c.writes, name); err != nil {
		return notSent(err)
	}
	defer c.forget(name)
	// To delete a stream nats-server 2.15.2 moves its directory to a name that is one byte longer.
	// If that is too long for a file, the messages stay, and belong to the next bucket of that name
	// (measured). So there must be none.
	if len(name.Stream()) == kv.MaxBucketNameBytes+len(kv.StreamPrefix) {
		err := c.remove(ctx, "STREAM.PURGE.", name)
		// A stream that may not be purged can still be deleted.
		if _, refused := errors.AsType[*kv.APIError](err); err != nil && !refused {
			return err
		}
	}
	return c.remove(ctx, "STREAM.DELETE.", name)
}

// remove sends a request that removes a bucket's messages.
func (c *Client) remove(ctx context.Context, request string, name kv.BucketName) error {
	var response struct{ apiResponse }
	err := c.api(ctx, c.writes, request+name.Stream(), nil, &response)
	return bucketError(name, unanswered(err))
}

// BucketNames returns the names of all streams that can be buckets, sorted. Whether one is a bucket
// shows when it is looked up. NATS' own listing asks for streams with the subjects of buckets, and
// so misses mirrors (measured).
func (c *Client) BucketNames(ctx context.Context) ([]kv.BucketName, error) {
	var names []kv.BucketName
	for offset := 0; ; {
		var page struct {
			apiResponse
			Total   int      `json:"total"`
			Streams []string `json:"streams"`
		}
		request := map[string]int{"offset": offset}
		if err := c.api(ctx, c.reads, "STREAM.NAMES", request, &page); err != nil {
			return nil, err
		}
		for _, stream := range page.Streams {
			bucket, isBucket := strings.CutPrefix(stream, kv.StreamPrefix)
			if name, err := kv.ParseBucketName(bucket); isBucket && err == nil {
				names = append(names, name)
			}
		}
		offset += len(page.Streams)
		if len(page.Streams) == 0 || offset >= page.Total {
			break
		}
	}
	slices.SortFunc(names, func(a, b kv.BucketName) int {
		return strings.Compare(a.String(), b.String())
	})
	return slices.Compact(names), nil
}
