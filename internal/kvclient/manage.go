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

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// CreateBucket creates a bucket. Created is false if it exists with this very configuration; if it
// exists with another, the error is a *[BucketExistsError]. Other errors are a *[ConfigError],
// [ErrBadBucket], [ErrStorageExhausted], [ErrUnavailable] and [ErrOutcomeUnknown].
//
// The server says that it created a stream also if it found the same one (did_create, measured), so
// the bucket is asked for first. Of two clients that create the same bucket at the very same time,
// both may be told that they did.
func (c *Client) CreateBucket(
	ctx context.Context, name BucketName, config BucketConfig,
) (status BucketStatus, created bool, err error) {
	config.normalize()
	if err := config.validate(BucketConfig{}); err != nil {
		return BucketStatus{}, false, err
	}
	want := streamConfig(name, config)
	if status, err := c.existing(ctx, name, want); !errors.Is(err, ErrBucketNotFound) {
		return status, false, err
	}
	var info streamInfoResponse
	err = c.createStream(ctx, name, want, &info)
	if apiErr, ok := errors.AsType[*APIError](err); ok && apiErr.ErrCode == errCodeStreamNameInUse {
		status, err := c.existing(ctx, name, want) // somebody else created it meanwhile
		return status, false, err
	}
	if err != nil {
		return BucketStatus{}, false, configRefusal(name, err)
	}
	return c.bucketStatus(name, &info), true, nil
}

// existing returns a bucket that is there already, if it is the same as far as the KV API can tell.
// Settings of the stream that the KV API does not know, and that another tool may have changed, do
// not count. It returns [ErrBucketNotFound], [ErrBadBucket] or a *[BucketExistsError].
func (c *Client) existing(
	ctx context.Context, name BucketName, want jetstream.StreamConfig,
) (BucketStatus, error) {
	_, info, err := c.lookUp(ctx, c.writes, name)
	if err != nil {
		return BucketStatus{}, notSent(err)
	}
	found, err := differences(bucketConfig(info.Config), bucketConfig(want))
	if err != nil {
		return BucketStatus{}, err
	}
	if len(found) > 0 {
		return BucketStatus{}, &BucketExistsError{Differences: found}
	}
	return c.bucketStatus(name, info), nil
}

// createStream creates a stream, if need be with several attempts within the timeout: the server
// may still be removing the files of a stream of that name that was deleted a moment ago.
func (c *Client) createStream(
	ctx context.Context, name BucketName, config jetstream.StreamConfig, info *streamInfoResponse,
) error {
	giveUp := time.Now().Add(c.timeout)
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		*info = streamInfoResponse{} // without the refusal of the attempt before
		err := c.changeStream(ctx, "STREAM.CREATE", name, config, info)
		e, ok := errors.AsType[*APIError](err)
		if !ok || e.ErrCode != errCodeStoreNotCreated || time.Now().After(giveUp) {
			return err
		}
		time.Sleep(wait)
	}
}

// changeStream sends a stream's configuration to the API. If no answer comes, the outcome is
// unknown.
func (c *Client) changeStream(
	ctx context.Context, request string, name BucketName, config any, info *streamInfoResponse,
) error {
	defer c.forget(name)
	err := c.api(ctx, c.writes, request+"."+name.stream(), config, info)
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return &ConfigError{Reason: "it is larger than the NATS server's max_payload"}
	case errors.Is(err, ErrTimeout):
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return err
}

// configRefusal turns the refusal of a configuration that the server does not take into a
// *[ConfigError]. The server answers some of these like a 500.
func configRefusal(name BucketName, err error) error {
	err = bucketError(name, err)
	e, unnamed := err.(*APIError)
	if unnamed && (e.Code < 500 || e.ErrCode == errCodeInvalidStreamConfig ||
		e.ErrCode == errCodeReplicasNotSupported) {
		return &ConfigError{Reason: e.Description}
	}
	return err
}

// UpdateBucket applies a JSON merge patch (RFC 7396) to a bucket's configuration; null puts a field
// back to its default. Only the settings of fields that change are sent changed, so that settings
// which the KV API does not know stay. Of two updates at once the last one wins, as in NATS. It
// returns [ErrBucketNotFound], and otherwise the errors of CreateBucket.
func (c *Client) UpdateBucket(
	ctx context.Context, name BucketName, patch []byte,
) (BucketStatus, error) {
	var raw struct {
		apiResponse
		Config json.RawMessage       `json:"config"`
		State  jetstream.StreamState `json:"state"`
	}
	if err := c.api(ctx, c.writes, "STREAM.INFO."+name.stream(), nil, &raw); err != nil {
		return BucketStatus{}, notSent(bucketError(name, err))
	}
	var current jetstream.StreamConfig
	settings := make(map[string]json.RawMessage)
	err := errors.Join(json.Unmarshal(raw.Config, &current), json.Unmarshal(raw.Config, &settings))
	if err != nil {
		return BucketStatus{}, fmt.Errorf("%w: stream configuration: %w", ErrUnexpectedAnswer, err)
	}
	if err := checkBucket(name, current); err != nil {
		return BucketStatus{}, err
	}
	next, err := patched(bucketConfig(current), patch)
	if err != nil {
		return BucketStatus{}, err
	}
	if current.Mirror != nil && next.Mirror == nil && raw.State.Msgs > 0 {
		return BucketStatus{}, &ConfigError{Reason: "a mirror keeps its entries under the " +
			"origin's subjects, where they would be out of reach; make a new bucket with the " +
			"origin in sources"}
	}
	if err := next.change(name, current, settings); err != nil {
		return BucketStatus{}, err
	}
	var info streamInfoResponse
	if err := c.changeStream(ctx, "STREAM.UPDATE", name, settings, &info); err != nil {
		return BucketStatus{}, configRefusal(name, err)
	}
	return c.bucketStatus(name, &info), nil
}

// patched applies a merge patch to a configuration.
func patched(config BucketConfig, patch []byte) (BucketConfig, error) {
	document, err := json.Marshal(config)
	if err != nil {
		return BucketConfig{}, fmt.Errorf("encode bucket configuration: %w", err)
	}
	merged, err := jsonpatch.MergePatch(document, patch)
	if err == nil && !bytes.HasPrefix(bytes.TrimSpace(patch), []byte("{")) {
		err = errors.New("it is not a JSON object")
	}
	if err != nil {
		reason := fmt.Sprintf("the patch cannot be applied: %v", err)
		return BucketConfig{}, &ConfigError{Reason: reason}
	}
	next := DefaultBucketConfig()
	if err := json.Unmarshal(merged, &next); err != nil {
		return BucketConfig{}, &ConfigError{Reason: JSONReason(err)}
	}
	next.normalize()
	return next, next.validate(config)
}

// JSONReason says for a client why JSON could not be read into a configuration.
func JSONReason(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("%s cannot be %s", e.Field, e.Value)
	}
	return err.Error()
}

// change puts into the stream's settings what differs between its current configuration and the
// wanted one.
func (c BucketConfig) change(
	name BucketName, current jetstream.StreamConfig, settings map[string]json.RawMessage,
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
	return c.keepServerSettings(current, settings)
}

// keepServerSettings keeps what the KV API does not set by itself but would break: the server's
// metadata, message TTLs, which can never be switched off, and a duplicate window that somebody
// chose.
func (c BucketConfig) keepServerSettings(
	current jetstream.StreamConfig, settings map[string]json.RawMessage,
) error {
	metadata := maps.Clone(c.Metadata)
	for key, value := range current.Metadata {
		if isServerMetadata(key) {
			if metadata == nil {
				metadata = make(map[string]string)
			}
			metadata[key] = value
		}
	}
	window := current.Duplicates
	isDefault := window == duplicateWindow(Duration(current.MaxAge))
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

// DeleteBucket deletes a bucket and everything that it holds. It returns [ErrBucketNotFound],
// [ErrBadBucket], [ErrUnavailable], or [ErrOutcomeUnknown].
func (c *Client) DeleteBucket(ctx context.Context, name BucketName) error {
	if _, err := c.bind(ctx, c.writes, name); err != nil {
		return notSent(err)
	}
	defer c.forget(name)
	// To delete a stream nats-server 2.15.2 moves its directory to a name that is one byte longer.
	// If that is too long for a file, the messages stay, and belong to the next bucket of that name
	// (measured). So there must be none.
	if len(name.stream()) == MaxBucketNameBytes+len(streamPrefix) {
		err := c.remove(ctx, "STREAM.PURGE.", name)
		// A stream that may not be purged can still be deleted.
		if _, refused := errors.AsType[*APIError](err); err != nil && !refused {
			return err
		}
	}
	return c.remove(ctx, "STREAM.DELETE.", name)
}

// remove sends a request that removes a bucket's messages.
func (c *Client) remove(ctx context.Context, request string, name BucketName) error {
	var response struct{ apiResponse }
	err := c.api(ctx, c.writes, request+name.stream(), nil, &response)
	if errors.Is(err, ErrTimeout) {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return bucketError(name, err)
}

// BucketNames returns the names of all streams that can be buckets, sorted. Whether one is a bucket
// shows when it is looked up. NATS' own listing asks for streams with the subjects of buckets, and
// so misses mirrors (measured).
func (c *Client) BucketNames(ctx context.Context) ([]BucketName, error) {
	var names []BucketName
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
			bucket, isBucket := strings.CutPrefix(stream, streamPrefix)
			if name, err := ParseBucketName(bucket); isBucket && err == nil {
				names = append(names, name)
			}
		}
		offset += len(page.Streams)
		if len(page.Streams) == 0 || offset >= page.Total {
			break
		}
	}
	slices.SortFunc(names, func(a, b BucketName) int { return strings.Compare(a.name, b.name) })
	return slices.Compact(names), nil
}
