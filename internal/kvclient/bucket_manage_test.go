package kvclient_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// A twin is one configuration in the gateway's words and in those of nats.go.
type twin struct {
	ours   func(*kv.BucketConfig) // It changes the default configuration.
	native jetstream.KeyValueConfig
}

var twins = map[string]twin{
	"defaults": {
		ours:   func(*kv.BucketConfig) {},
		native: jetstream.KeyValueConfig{},
	},
	"zero": {
		ours:   func(c *kv.BucketConfig) { *c = kv.BucketConfig{} },
		native: jetstream.KeyValueConfig{},
	},
	"plain fields": {
		ours: func(c *kv.BucketConfig) {
			c.Description, c.MaxValueSize, c.History, c.MaxBytes = "what for", 1000, 7, 1<<20
		},
		native: jetstream.KeyValueConfig{
			Description: "what for", MaxValueSize: 1000, History: 7, MaxBytes: 1 << 20,
		},
	},
	"memory": {
		ours:   memory,
		native: jetstream.KeyValueConfig{Storage: jetstream.MemoryStorage},
	},
	"short ttl": {
		ours:   func(c *kv.BucketConfig) { c.TTL = kv.Duration(30 * time.Second) },
		native: jetstream.KeyValueConfig{TTL: 30 * time.Second},
	},
	"long ttl": {
		ours:   func(c *kv.BucketConfig) { c.TTL = kv.Duration(24 * time.Hour) },
		native: jetstream.KeyValueConfig{TTL: 24 * time.Hour},
	},
	"marker ttl": {
		ours: func(c *kv.BucketConfig) {
			c.LimitMarkerTTL = kv.Duration(time.Minute)
		},
		native: jetstream.KeyValueConfig{LimitMarkerTTL: time.Minute},
	},
	"compression": {
		ours:   func(c *kv.BucketConfig) { c.Compression = true },
		native: jetstream.KeyValueConfig{Compression: true},
	},
	"metadata": {
		ours: func(c *kv.BucketConfig) {
			c.Metadata = map[string]string{"team": "a", "owner": "b"}
		},
		native: jetstream.KeyValueConfig{Metadata: map[string]string{"owner": "b", "team": "a"}},
	},
	"republish": {
		ours: func(c *kv.BucketConfig) {
			c.Republish = &kv.Republish{
				Source: ">", Destination: "feed.>", HeadersOnly: true,
			}
		},
		native: jetstream.KeyValueConfig{RePublish: &jetstream.RePublish{
			Source: ">", Destination: "feed.>", HeadersOnly: true,
		}},
	},
	"republish of all": {
		ours: func(c *kv.BucketConfig) {
			c.Republish = &kv.Republish{Destination: "feed.>"}
		},
		native: jetstream.KeyValueConfig{
			RePublish: &jetstream.RePublish{Destination: "feed.>"},
		},
	},
	"mirror":                mirrorTwin("origin", nil),
	"mirror by stream name": mirrorTwin("KV_origin", nil),
	"mirror from a time":    mirrorTwin("origin", &startTime),
	"external mirror": {
		ours: func(c *kv.BucketConfig) {
			c.Mirror = &kv.Source{
				Name: "origin", External: &kv.External{API: "$JS.hub.API"},
			}
		},
		native: jetstream.KeyValueConfig{Mirror: &jetstream.StreamSource{
			Name: "origin", External: &jetstream.ExternalStream{APIPrefix: "$JS.hub.API"},
		}},
	},
	"sources": {
		ours: func(c *kv.BucketConfig) {
			c.Sources = []*kv.Source{{Name: "one"}, {Name: "KV_two", OptStartSeq: 3}}
		},
		native: jetstream.KeyValueConfig{
			Sources: []*jetstream.StreamSource{{Name: "one"}, {Name: "KV_two", OptStartSeq: 3}},
		},
	},
	"external source": {
		ours: func(c *kv.BucketConfig) {
			c.Sources = []*kv.Source{{
				Name: "shop", External: &kv.External{API: "$JS.hub.API"},
			}}
		},
		native: jetstream.KeyValueConfig{Sources: []*jetstream.StreamSource{{
			Name: "shop", External: &jetstream.ExternalStream{APIPrefix: "$JS.hub.API"},
		}}},
	},
	"placement": {
		ours: func(c *kv.BucketConfig) {
			c.Placement = &kv.Placement{Tags: []string{"ssd"}}
		},
		native: jetstream.KeyValueConfig{Placement: &jetstream.Placement{Tags: []string{"ssd"}}},
	},
}

func mirrorTwin(origin string, from *time.Time) twin {
	return twin{
		ours: func(c *kv.BucketConfig) {
			c.Mirror = &kv.Source{Name: origin, OptStartTime: from}
		},
		native: jetstream.KeyValueConfig{
			Mirror: &jetstream.StreamSource{Name: origin, OptStartTime: from},
		},
	}
}

// startTime is not in UTC. The same instant in another zone is the same configuration.
var startTime = time.Date(2026, 1, 2, 3, 4, 5, 600, time.FixedZone("", 2*60*60))

// tagged starts a server with the tag "ssd", for placement, and connects both kinds of client to
// it.
func tagged(t *testing.T) (*kvclient.Client, jetstream.JetStream) {
	t.Helper()
	s := natstest.Start(t, configured(func(o *server.Options) { o.Tags = []string{"ssd"} }))
	return connect(t, kvclient.Options{URL: s.URL()}), s.JetStream(t)
}

func TestCreationIsIdempotentAcrossClients(t *testing.T) {
	for _, name := range sorted(twins) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours := kv.DefaultBucketConfig()
			twins[name].ours(&ours)
			theirs := twins[name].native
			theirs.Bucket = "shop"
			t.Run("gateway first", func(t *testing.T) {
				c, js := tagged(t)
				wantCreated(t, c, ours, true)
				wantCreated(t, c, ours, false)
				again := theirs // A copy, since nats.go changes what it is given.
				again.Sources = cloneSources(theirs.Sources)
				if _, err := js.CreateKeyValue(t.Context(), again); err != nil {
					t.Errorf("native creation of the same bucket: %v", err)
				}
			})
			t.Run("native first", func(t *testing.T) {
				c, js := tagged(t)
				first := theirs
				first.Sources = cloneSources(theirs.Sources)
				natstest.CreateBucket(t, js, first)
				wantCreated(t, c, ours, false)
			})
		})
	}
}

// cloneSources returns copies, since nats.go changes the sources that it is given.
func cloneSources(sources []*jetstream.StreamSource) []*jetstream.StreamSource {
	var cloned []*jetstream.StreamSource
	for _, s := range sources {
		copied := *s
		cloned = append(cloned, &copied)
	}
	return cloned
}

// wantCreated creates the bucket "shop" and checks whether it is called new. It must not fail.
func wantCreated(t *testing.T, c *kvclient.Client, config kv.BucketConfig, want bool) {
	t.Helper()
	status, created, err := c.CreateBucket(t.Context(), bucketName(t, "shop"), config)
	if exists, ok := errors.AsType[*kv.BucketExistsError](err); ok {
		for _, d := range exists.Differences {
			t.Logf("%s: have %s, want %s", d.Field, d.Have, d.Want)
		}
	}
	if err != nil || created != want || status.Epoch == "" {
		t.Errorf("created %v, epoch %q, %v; want created %v", created, status.Epoch, err, want)
	}
}

// A configuration that is read back describes the same bucket as the one that was asked for.
func TestConfigurationRoundTrip(t *testing.T) {
	for _, name := range sorted(twins) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := tagged(t)
			ours := kv.DefaultBucketConfig()
			twins[name].ours(&ours)
			wantCreated(t, c, ours, true)
			status, err := c.Status(t.Context(), bucketName(t, "shop"))
			if err != nil {
				t.Fatal(err)
			}
			wantCreated(t, c, status.Config, false)
			document, err := json.Marshal(status.Config)
			if err != nil {
				t.Fatal(err)
			}
			var read kv.BucketConfig
			if err := json.Unmarshal(document, &read); err != nil {
				t.Fatal(err)
			}
			wantCreated(t, c, read, false)
		})
	}
}

func TestCreateBucketNamesTheDifferences(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	shop(t, c, history(3))
	want := kv.DefaultBucketConfig()
	want.Description, want.MaxBytes = "other", 1<<20
	want.Republish = &kv.Republish{Source: ">", Destination: "feed.>"}
	_, created, err := c.CreateBucket(t.Context(), bucketName(t, "shop"), want)
	exists, ok := errors.AsType[*kv.BucketExistsError](err)
	if !ok || created {
		t.Fatalf("created %v, %v", created, err)
	}
	var got []string
	for _, d := range exists.Differences {
		got = append(got, fmt.Sprintf("%s: %s not %s", d.Field, d.Have, d.Want))
	}
	if diff := cmp.Diff([]string{
		`description: "" not "other"`, `history: 3 not 1`, `max_bytes: -1 not 1048576`,
		`republish: null not {"src":">","dest":"feed.>"}`,
	}, got); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
}

func TestCreateBucketRefusesConfigurations(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	for name, edit := range map[string]func(*kv.BucketConfig){
		"history 65": func(c *kv.BucketConfig) { c.History = 65 },
		"history -1": func(c *kv.BucketConfig) { c.History = -1 },
		"storage":    func(c *kv.BucketConfig) { c.Storage = "disk" },
		"mirror and sources": func(c *kv.BucketConfig) {
			c.Mirror, c.Sources = &kv.Source{Name: "a"}, []*kv.Source{{Name: "b"}}
		},
		"ttl too short": func(c *kv.BucketConfig) {
			c.TTL = kv.Duration(99 * time.Millisecond)
		},
		"marker ttl too short": func(c *kv.BucketConfig) {
			c.LimitMarkerTTL = kv.Duration(999 * time.Millisecond)
		},
		"server's metadata": func(c *kv.BucketConfig) {
			c.Metadata = map[string]string{"_nats.req.level": "0"}
		},
		"replicas":          func(c *kv.BucketConfig) { c.Replicas = 3 },
		"six replicas":      func(c *kv.BucketConfig) { c.Replicas = 6 },
		"negative replicas": func(c *kv.BucketConfig) { c.Replicas = -1 },
		"republish in a circle": func(c *kv.BucketConfig) {
			c.Republish = &kv.Republish{Source: ">", Destination: "$KV.shop.>"}
		},
		"republish nowhere": func(c *kv.BucketConfig) {
			c.Republish = &kv.Republish{Source: ">"}
		},
		"long description": func(c *kv.BucketConfig) {
			c.Description = strings.Repeat("d", 5000)
		},
		"much metadata": func(c *kv.BucketConfig) {
			c.Metadata = map[string]string{"k": strings.Repeat("m", 200<<10)}
		},
		"mirror of itself": func(c *kv.BucketConfig) {
			c.Mirror = &kv.Source{Name: "shop"}
		},
		"mirror without a name": func(c *kv.BucketConfig) { c.Mirror = &kv.Source{} },
		"mirror of no bucket": func(c *kv.BucketConfig) {
			c.Mirror = &kv.Source{Name: "no.bucket >"}
		},
		"source twice": func(c *kv.BucketConfig) {
			c.Sources = []*kv.Source{{Name: "a"}, {Name: "a"}}
		},
		"transform": func(c *kv.BucketConfig) {
			impossible := kv.SubjectTransform{Source: "a b", Destination: ">.x"}
			c.Sources = []*kv.Source{{
				Name: "a", SubjectTransforms: []kv.SubjectTransform{impossible},
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := kv.DefaultBucketConfig()
			edit(&config)
			_, _, err := c.CreateBucket(t.Context(), bucketName(t, "shop"), config)
			refused, ok := errors.AsType[*kv.ConfigError](err)
			if !ok || refused.Reason == "" {
				t.Errorf("error %v, want a ConfigError", err)
			}
			_, err = c.Status(t.Context(), bucketName(t, "shop"))
			if !errors.Is(err, kv.ErrBucketNotFound) {
				t.Errorf("afterwards: %v", err)
				_ = c.DeleteBucket(t.Context(), bucketName(t, "shop"))
			}
		})
	}
}

func TestLimitsOfTheServerAreReported(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, configured(func(o *server.Options) { o.JetStreamMaxStore = 1 << 20 }))
	c := connect(t, kvclient.Options{URL: s.URL()})
	config := kv.DefaultBucketConfig()
	config.MaxBytes = 1 << 30
	_, _, err := c.CreateBucket(t.Context(), bucketName(t, "big"), config)
	wantError(t, err, kv.ErrStorageExhausted)

	b := shop(t, c, func(c *kv.BucketConfig) { c.MaxBytes = 1000 })
	put(t, b, "k", strings.Repeat("x", 600))
	wantError(t, write(t, b, "l", strings.Repeat("x", 600)), kv.ErrBucketFull)
	wantValue(t, b, "k", strings.Repeat("x", 600), 1)
	put(t, b, "k", "shorter") // This replaces the longer value, so there is room for it.
	remove(t, b, "k", true)

	unbounded := newBucket(t, c, "unbounded", nil)
	var last error
	for i := range 40 {
		k := fmt.Sprintf("k%d", i)
		if last = write(t, unbounded, k, strings.Repeat("x", 50<<10)); last != nil {
			break
		}
	}
	wantError(t, last, kv.ErrStorageExhausted)
}

// settings returns the settings of the stream of "shop" as the server reports them.
func settings(t *testing.T, js jetstream.JetStream) map[string]any {
	t.Helper()
	msg, err := js.Conn().Request("$JS.API.STREAM.INFO.KV_shop", nil, soon)
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Config map[string]any `json:"config"`
	}
	if err := json.Unmarshal(msg.Data, &info); err != nil || len(info.Config) == 0 {
		t.Fatalf("%s: %v", msg.Data, err)
	}
	return info.Config
}

// wantOnly checks that no settings differ but those that are named.
func wantOnly(t *testing.T, before, after map[string]any, changed ...string) {
	t.Helper()
	before, after = maps.Clone(before), maps.Clone(after)
	for _, name := range changed {
		delete(before, name)
		delete(after, name)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("other settings changed (-before +after):\n%s", diff)
	}
}

// unusual is a stream of the bucket "shop" with all settings that the KV API does not know.
var unusual = jetstream.StreamConfig{
	Name: "KV_shop", Subjects: []string{"$KV.shop.>"}, MaxMsgsPerSubject: 5,
	AllowRollup: true, AllowDirect: true, AllowAtomicPublish: true, AllowMsgTTL: true,
	Description: "unusual", MaxConsumers: 17, MaxMsgs: 100_000, FirstSeq: 1000,
	MaxMsgSize: 1 << 16, MaxBytes: 1 << 24,
	Discard: jetstream.DiscardOld, Duplicates: 10 * time.Second,
	ConsumerLimits: jetstream.StreamConsumerLimits{InactiveThreshold: time.Hour, MaxAckPending: 99},
	Metadata:       map[string]string{"team": "a", "remove": "me"},
	RePublish:      &jetstream.RePublish{Source: "$KV.shop.>", Destination: "feed.>"},
	Compression:    jetstream.S2Compression,
}

func TestUpdateChangesOnlyWhatDiffers(t *testing.T) {
	for name, tc := range map[string]struct {
		patch   string
		changed []string
	}{
		"nothing":            {`{}`, nil},
		"the same":           {`{"description":"unusual","history":5,"max_value_size":65536}`, nil},
		"description":        {`{"description":"new"}`, []string{"description"}},
		"description absent": {`{"description":null}`, []string{"description"}},
		"history":            {`{"history":9}`, []string{"max_msgs_per_subject"}},
		"history to default": {`{"history":null}`, []string{"max_msgs_per_subject"}},
		"value size":         {`{"max_value_size":-1}`, []string{"max_msg_size"}},
		"max bytes":          {`{"max_bytes":null}`, []string{"max_bytes"}},
		"ttl":                {`{"ttl":"1h"}`, []string{"max_age"}},
		"compression":        {`{"compression":false}`, []string{"compression"}},
		"atomic":             {`{"allow_atomic":false}`, []string{"allow_atomic", "metadata"}},
		"republish":          {`{"republish":null}`, []string{"republish"}},
		"republish headers":  {`{"republish":{"headers_only":true}}`, []string{"republish"}},
		"metadata":           {`{"metadata":{"remove":null,"more":"m"}}`, []string{"metadata"}},
		"marker ttl": {
			`{"limit_marker_ttl":"1m"}`, []string{"subject_delete_marker_ttl", "metadata"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := gateway(t)
			js := s.JetStream(t)
			if _, err := js.CreateStream(t.Context(), unusual); err != nil {
				t.Fatal(err)
			}
			before := settings(t, js)
			update(t, c, tc.patch)
			after := settings(t, js)
			wantOnly(t, before, after, tc.changed...)
			for _, name := range tc.changed {
				if name != "metadata" && cmp.Equal(before[name], after[name]) {
					t.Errorf("%s is still %v", name, after[name])
				}
			}
		})
	}
}

func TestUpdateMergesMetadata(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	shop(t, c, func(c *kv.BucketConfig) {
		c.Metadata = map[string]string{"a": "1", "b": "2"}
	})
	status := update(t, c, `{"metadata":{"b":null,"c":"3"}}`)
	if diff := cmp.Diff(map[string]string{"a": "1", "c": "3"}, status.Config.Metadata); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	stored, ok := settings(t, js)["metadata"].(map[string]any)
	if !ok || stored["_nats.req.level"] == nil {
		t.Errorf("the server's metadata is gone: %v", stored)
	}
	if status = update(t, c, `{"metadata":null}`); len(status.Config.Metadata) != 0 {
		t.Errorf("metadata %v, want none", status.Config.Metadata)
	}
}

func TestDuplicateWindowFollowsTheTTL(t *testing.T) {
	const second = float64(time.Second)
	for name, tc := range map[string]struct {
		window, ttl time.Duration // as they are before the change
		patch       string
		want        float64
	}{
		"default, shorter ttl": {0, 0, `{"ttl":"30s"}`, 30 * second},
		"default, longer ttl":  {0, 0, `{"ttl":"1h"}`, 120 * second},
		"followed, no ttl again": {
			30 * time.Second, 30 * time.Second, `{"ttl":null}`, 120 * second,
		},
		"followed, longer ttl": {
			30 * time.Second, 30 * time.Second, `{"ttl":"1m"}`, 60 * second,
		},
		"chosen, no ttl":            {10 * time.Second, 0, `{"description":"x"}`, 10 * second},
		"chosen, long ttl":          {10 * time.Second, 0, `{"ttl":"1h"}`, 10 * second},
		"chosen, ttl shorter still": {10 * time.Second, 0, `{"ttl":"5s"}`, 5 * second},
		"chosen long, short ttl":    {time.Hour, 0, `{"ttl":"1m"}`, 60 * second},
		"chosen long, no change":    {time.Hour, 2 * time.Hour, `{"history":2}`, 3600 * second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := gateway(t)
			js := s.JetStream(t)
			nativeStream(t, js, jetstream.StreamConfig{
				Name:              "KV_shop",
				Subjects:          []string{"$KV.shop.>"},
				MaxMsgsPerSubject: 1,
				MaxAge:            tc.ttl,
				Duplicates:        tc.window,
				AllowRollup:       true,
				AllowDirect:       true,
				Discard:           jetstream.DiscardNew,
			})
			update(t, c, tc.patch)
			if got := settings(t, js)["duplicate_window"]; got != tc.want {
				t.Errorf("window %v, want %v", got, tc.want)
			}
		})
	}
}

func TestUpdateRefusesPatches(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	shop(t, c, history(9))
	for _, patch := range []string{
		``, `{`, `[]`, `"x"`, `1`, `null`, `{"history":0.5}`, `{"history":"3"}`,
		`{"history":65}`, `{"history":-1}`, `{"ttl":"soon"}`, `{"ttl":-1}`, `{"ttl":"-1s"}`,
		`{"ttl":60}`, `{"storage":"memory"}`, `{"storage":"disk"}`, `{"num_replicas":3}`,
		`{"metadata":[]}`, `{"metadata":{"a":1}}`, `{"metadata":{"_nats.ver":"1"}}`,
		`{"mirror":{"name":"other"}}`, `{"description":{}}`, `{"history":1e30}`,
		`{"max_value_size":4294967296}`, `{"limit_marker_ttl":"1ms"}`,
		`{"republish":{"dest":"$KV.shop.>"}}`, `{"republish":{"src":">"}}`,
		`{"history":1,"history":2}`,
	} {
		before := settings(t, js)
		_, err := c.UpdateBucket(t.Context(), bucketName(t, "shop"), []byte(patch))
		if _, ok := errors.AsType[*kv.ConfigError](err); !ok {
			t.Errorf("patch %s: %v, want a ConfigError", patch, err)
		}
		wantOnly(t, before, settings(t, js))
	}
	_, err := c.UpdateBucket(t.Context(), bucketName(t, "missing"), []byte(`{}`))
	wantError(t, err, kv.ErrBucketNotFound)
}

// Other tools can set a history that is too long for the gateway. It stays, and other settings can
// be changed.
func TestUpdateKeepsAHistoryThatIsTooLong(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	config := unusual
	config.MaxMsgsPerSubject = 100
	if _, err := js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	before := settings(t, js)
	if b := bind(t, c, "shop"); put(t, b, "k", "v") != 1000 {
		t.Error("the first revision is not 1000")
	}
	update(t, c, `{"description":"new"}`)
	wantOnly(t, before, settings(t, js), "description")
}

func TestUpdateOfAMirrorChangesOnlyWhatDiffers(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	newBucket(t, c, "origin", nil)
	shop(t, c, mirrorOf("origin"))
	before := settings(t, js)
	update(t, c, `{"description":"a copy","history":3}`)
	wantOnly(t, before, settings(t, js), "description", "max_msgs_per_subject")
}

// If two clients update a bucket at the same time, the last update wins. Neither undoes settings
// that the KV API does not know.
func TestNativeUpdateReplacesOurs(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	shop(t, c, nil)
	update(t, c, `{"history":4,"description":"ours"}`)
	native, err := js.UpdateKeyValue(t.Context(), jetstream.KeyValueConfig{
		Bucket: "shop", History: 6, Description: "theirs",
	})
	if err != nil {
		t.Fatal(err)
	}
	if status, err := native.Status(t.Context()); err != nil || status.History() != 6 {
		t.Errorf("%+v, %v", status, err)
	}
	natstest.Eventually(t, atOnce, "the gateway knows", func() bool {
		status, err := c.Status(t.Context(), bucketName(t, "shop"))
		return err == nil && status.Config.History == 6 && status.Config.Description == "theirs"
	})
}

// This test does not run beside others, since it takes both cores.
func TestBucketNames(t *testing.T) {
	c, s := gateway(t)
	js := s.JetStream(t)
	if names, err := c.BucketNames(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("names %v, %v", names, err)
	}
	var want []string
	for _, name := range []string{"b", "a", "B", "a-1", "_"} {
		newBucket(t, c, name, memory)
		want = append(want, name)
	}
	newBucket(t, c, "copy", mirrorOf("a"))
	want = append(want, "copy")
	nativeStream(t, js, jetstream.StreamConfig{Name: "orders", Subjects: []string{"orders"}})
	if !testing.Short() {
		for i := range 1024 { // The server lists at most 1,024 streams in one answer.
			name := fmt.Sprintf("many%04d", i)
			natstest.CreateBucket(t, js, jetstream.KeyValueConfig{
				Bucket: name, Storage: jetstream.MemoryStorage,
			})
			want = append(want, name)
		}
	}
	found, err := c.BucketNames(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, name := range found {
		got = append(got, name.String())
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestDeleteBucket(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	wantError(t, c.DeleteBucket(t.Context(), bucketName(t, "shop")), kv.ErrBucketNotFound)
	b := shop(t, c, nil)
	put(t, b, "k", "v")
	wantError(t, c.DeleteBucket(t.Context(), b.Name()), nil)
	wantError(t, c.DeleteBucket(t.Context(), b.Name()), kv.ErrBucketNotFound)
}

// A client may delete a bucket and create it again at once. It must not get the server's error
// 10049, which means that the server is still removing the files of the deleted stream.
func TestDeletedBucketCanBeCreatedAtOnce(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	for range 150 {
		b := shop(t, c, nil)
		put(t, b, "k", "v")
		if err := c.DeleteBucket(t.Context(), b.Name()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConcurrentCreationMakesOneBucket(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	epochs := make([]kv.Epoch, 8)
	inParallel(8, func(i int) {
		if i%2 == 0 {
			_, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "shop"})
			if err != nil {
				t.Errorf("native: %v", err)
			}
			return
		}
		config := kv.DefaultBucketConfig()
		status, _, err := c.CreateBucket(t.Context(), bucketName(t, "shop"), config)
		if err != nil {
			t.Errorf("ours: %v", err)
		}
		epochs[i] = status.Epoch
	})
	for i := 3; i < 8; i += 2 {
		if epochs[i] != epochs[1] {
			t.Errorf("epochs %v", epochs)
		}
	}
}

// If a stream's name is as long as a file's name can be, the server leaves the messages of a
// deleted stream to the next stream of that name. The gateway must not show them.
func TestLongestNameCreatedAgainIsEmpty(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	name := strings.Repeat("b", kv.MaxBucketNameBytes)
	for round := range 3 {
		b := newBucket(t, c, name, nil)
		if listing, err := b.Keys(t.Context(), nil); err != nil || len(listing.Entries) != 0 {
			t.Fatalf("round %d: a new bucket has the keys %v, %v", round, listing.Entries, err)
		}
		if _, err := get(t, b, "k"); !errors.Is(err, kv.ErrKeyNotFound) {
			t.Errorf("round %d: get from a new bucket: %v", round, err)
		}
		put(t, b, "k", "v")
		put(t, b, "other", "v")
		if err := c.DeleteBucket(t.Context(), bucketName(t, name)); err != nil {
			t.Fatal(err)
		}
	}
}
