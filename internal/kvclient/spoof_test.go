package kvclient_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// poisons are headers with which a native client can try to deceive a reader. Those with a Status
// are also tried with an empty value, since such a message is how the server refuses a request.
var poisons = map[string]nats.Header{
	"sequence": {"Nats-Sequence": {"999"}},
	"time":     {"Nats-Time-Stamp": {"2001-01-01T00:00:00Z"}},
	"subject":  {"Nats-Subject": {"$KV.shop.victim"}},
	"stream":   {"Nats-Stream": {"KV_other"}},
	"all-of-them": {
		"Nats-Sequence": {"999"}, "Nats-Subject": {"$KV.shop.victim"}, "Nats-Stream": {"KV_other"},
		"Status": {"404"},
	},
	"no-message":     {"Status": {"404"}},
	"no-responders":  {"Status": {"503"}},
	"heartbeat":      {"Status": {"100"}, "Description": {"Idle Heartbeat"}},
	"flow-control":   {"Status": {"100"}, "Description": {"FlowControl Request"}},
	"deleted":        {"Status": {"409"}, "Description": {"Consumer Deleted"}},
	"timeout":        {"Status": {"408"}, "Description": {"Request Timeout"}},
	"pin":            {"Status": {"423"}},
	"end-of-batch":   {"Status": {"204"}, "Description": {"EOB"}},
	"message-size":   {"Nats-Msg-Size": {"12345"}},
	"many-types":     {"Content-Type": {"text/plain", "text/html"}},
	"stalled-header": {"Nats-Consumer-Stalled": {"x"}},
}

// storePoison stores a message with these headers in the bucket "shop".
func storePoison(t *testing.T, nc *nats.Conn, k string, header nats.Header, value string) {
	t.Helper()
	msg := &nats.Msg{Subject: "$KV.shop." + k, Header: header, Data: []byte(value)}
	if _, err := nc.RequestMsg(msg, soon); err != nil {
		t.Fatalf("native put of %s: %v", k, err)
	}
}

func TestStoredHeadersDoNotDeceiveReads(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	nc := s.Conn(t)
	rev := put(t, b, "victim", "v")
	for _, value := range []string{"", "x"} {
		for _, name := range sorted(poisons) {
			storePoison(t, nc, name, poisons[name], value)
			rev++
			t.Run(name+"/"+value, func(t *testing.T) {
				wantValue(t, b, name, value, rev)
				e, err := b.GetRevision(t.Context(), key(t, name), rev)
				if err != nil || string(e.Value) != value || e.Revision != rev ||
					e.Created.Year() == 2001 {
					t.Errorf("revision %d: %+v, %v", rev, e, err)
				}
				e, served, err := b.Get(t.Context(), key(t, name), anyReplica)
				if err != nil || served != kvclient.Leader {
					t.Errorf("any: %+v, %v, %v", e, served, err)
				}
			})
		}
	}
}

// A value with a strange header must not break the listing of its bucket.
func TestStoredHeadersDoNotBreakScans(t *testing.T) {
	t.Parallel()
	for _, name := range sorted(poisons) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := gateway(t)
			b := shop(t, c, history(2))
			put(t, b, "a", "1")
			storePoison(t, s.Conn(t), name, poisons[name], "")
			put(t, b, "z", "22")
			listing, err := b.Keys(t.Context(), nil)
			if err != nil {
				t.Fatalf("keys: %v", err)
			}
			want := []string{"a", name, "z"}
			if !slices.Equal(keyNames(listing), want) {
				t.Fatalf("keys %v, want %v", keyNames(listing), want)
			}
			for i, size := range []int{1, 0, 2} {
				e := listing.Entries[i]
				if e.Size() != size || e.Revision != kv.Revision(i+1) {
					t.Errorf("%s: size %d, revision %d; want %d, %d",
						e.Key, e.Size(), e.Revision, size, i+1)
				}
			}
			wantHistory(t, b, name, "put ")
		})
	}
}

// A message is a marker to the gateway if its headers make it one to native clients, and only
// then.
func TestMarkersAreThoseOfNativeClients(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	nc, native := s.Conn(t), native(t, s.JetStream(t), "shop")
	for name, header := range map[string]nats.Header{
		"del":            {"KV-Operation": {"DEL"}},
		"purge":          {"KV-Operation": {"PURGE"}},
		"put":            {"KV-Operation": {"PUT"}},
		"unknown":        {"KV-Operation": {"del"}},
		"two":            {"KV-Operation": {"PUT", "DEL"}},
		"lower-case":     {"kv-operation": {"DEL"}},
		"max-age":        {"Nats-Marker-Reason": {"MaxAge"}},
		"marker-purge":   {"Nats-Marker-Reason": {"Purge"}},
		"marker-remove":  {"Nats-Marker-Reason": {"Remove"}},
		"marker-strange": {"Nats-Marker-Reason": {"Strange"}},
	} {
		storePoison(t, nc, name, header, "")
		_, nativeErr := native.Get(t.Context(), name)
		_, err := get(t, b, name)
		if (nativeErr == nil) != (err == nil) {
			t.Errorf("%s: native %v, ours %v", name, nativeErr, err)
		}
		deleted, ok := errors.AsType[*kv.KeyDeletedError](err)
		if err != nil && (!ok || deleted.Marker.Key != name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// sorted returns the keys of a map in order.
func sorted[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}
