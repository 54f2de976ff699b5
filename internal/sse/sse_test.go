package sse_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
	"kvgateway/internal/sse"
)

func TestIDsAreReadAsTheyAreWritten(t *testing.T) {
	for _, text := range []string{
		"1742-k3f9x", "1731.1742-k3f9x", "0-k3f9x", "0.5-a", "1742-k3f9x.7c0q",
		"1731.1742-k3f9x.7c0q", "1742-k3f9x~m41x", "1731.1742-k3f9x.7c0q~m41x", "1-a~b",
	} {
		id, ok := sse.ParseID(text)
		if got := string(id.Append(nil)); !ok || got != text {
			t.Errorf("%s: read as %+v, written as %s", text, id, got)
		}
	}
	for _, text := range []string{
		"", "1742", "-", "1.2", "3.2-a", "x.2-a", "1.2.3-a", "1-A", "99999999999999999999-a",
		"1-a,2-b", "+1-a", "1-a.", "1-a.7c0", "1-a.7c0qq", "1-a.7C0Q", "1-a.7c0q.7c0q", "1.7c0q-a",
		"1-a~", "1-a~M", "1-a~m~m", "~m41x", "1~m41x", "1-a~m.7c0q", "1-a~01234567890123456",
	} {
		if id, ok := sse.ParseID(text); ok {
			t.Errorf("%q was read as %+v", text, id)
		}
	}
	ids, ok := sse.ParseIDs("shop=1.7-k3f9x.7c0q~m41x,config=9-a")
	if shop := ids["shop"]; !ok || len(ids) != 2 || shop.Sent != 1 || shop.Digest != "m41x" ||
		ids["config"].Revision != 9 {
		t.Errorf("ids %+v", ids)
	}
	for _, text := range []string{"", "shop", "shop=", "shop=1-a,shop=2-a", "shop=1-a,", "=x"} {
		if _, ok := sse.ParseIDs(text); ok {
			t.Errorf("%q was read", text)
		}
	}
}

func FuzzParseID(f *testing.F) {
	for _, text := range []string{
		"1731.1742-k3f9x", "1731.1742-k3f9x.7c0q~m41x", "1-a.b.c", "0.0-0~0",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, ok := sse.ParseID(text)
		if !ok {
			if id != (sse.ID{}) {
				t.Errorf("%q was refused as %+v", text, id)
			}
			return
		}
		again, ok := sse.ParseID(string(id.Append(nil)))
		if !ok || again != id || len(id.Append(nil)) > len(text) {
			t.Errorf("%q: %+v, then %+v", text, id, again)
		}
	})
}

// A frame is one block, whatever the value holds: no part of a value can be taken for a field of an
// event.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("a\nid: 1\n\ndata: x"), "text/plain")
	f.Add([]byte(`{"a":1}`), "application/json")
	f.Add([]byte("{\"a\": \"\u0085\u2028\u2029\"}"), "application/json")
	f.Add([]byte("\u0085\u2028\u2029"), "text/plain")
	f.Fuzz(func(t *testing.T, value []byte, contentType string) {
		name, err := kv.ParseBucketName("b")
		if err != nil {
			t.Fatal(err)
		}
		entry := kv.Entry{
			Key:         "k",
			Position:    kv.Position{Epoch: "a", Revision: 7},
			Created:     time.Unix(0, 0),
			Value:       value,
			Size:        len(value),
			ContentType: contentType,
		}
		for format := sse.EventStream; format <= sse.Lines; format++ {
			for form := kv.ValueByType; form <= kv.ValueNone; form++ {
				e := sse.Encoder{Format: format, Bucket: name, Form: form, Digest: "m41x"}
				checkFrames(t, e, &feed.Change{Entry: entry})
			}
		}
	})
}

// checkFrames checks the frame of a change, and that streams with another digest share it except
// for its id.
func checkFrames(t *testing.T, e sse.Encoder, c *feed.Change) {
	t.Helper()
	frame, own := e.Change(c)
	if checkFrame(t, e.Format, string(frame), "7-a~m41x"); !own {
		t.Error("the first stream's frame is not its own")
	}
	checkFrame(t, e.Format, string(e.AppendWithID(nil, []byte("b=7-a"), frame)), "b=7-a")
	for _, digest := range []string{"0000", ""} {
		other := e
		other.Digest = digest
		shared, own := other.Change(c)
		if own || &shared[0] != &frame[0] {
			t.Errorf("with the digest %q: own %t", digest, own)
		}
		head, rest := other.Cut(nil, shared)
		id := sse.ID{Point: sse.PointOf(c), Digest: digest}
		checkFrame(t, e.Format, string(head)+string(rest), string(id.Append(nil)))
	}
}

// checkFrame checks that a frame is one block with an id.
func checkFrame(t *testing.T, format sse.Format, frame, id string) {
	t.Helper()
	if strings.ContainsAny(frame, "\u0085\u2028\u2029") {
		t.Fatalf("some clients break a line within %q", frame)
	}
	body, ended := strings.CutSuffix(frame, "\n")
	data := body
	if format != sse.Lines {
		body, ended = strings.CutSuffix(frame, "\n\n")
		lines := strings.Split(body, "\n")
		if lines[0] != "id: "+id || strings.ContainsRune(body, '\r') {
			t.Fatalf("frame %q", frame)
		}
		data = strings.TrimPrefix(lines[len(lines)-1], "data: ")
		if want := 3 - int(format); len(lines) != want {
			t.Fatalf("%d lines, want %d: %q", len(lines), want, frame)
		}
	}
	var object struct {
		ID       string
		Revision int
	}
	err := json.Unmarshal([]byte(data), &object)
	wrongID := format == sse.Lines && object.ID != id
	if err != nil || !ended || object.Revision != 7 || wrongID {
		t.Fatalf("%v: frame %q", err, frame)
	}
}
