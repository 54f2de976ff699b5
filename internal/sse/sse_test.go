package sse_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"kvgateway/internal/feed"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/sse"
)

func TestPoints(t *testing.T) {
	for _, id := range []string{"1742-k3f9x", "1731.1742-k3f9x", "0-k3f9x", "0.5-a"} {
		p, ok := sse.ParsePoint(id)
		if got := string(sse.AppendPoint(nil, p)); !ok || got != id {
			t.Errorf("%s: read as %+v, written as %s", id, p, got)
		}
	}
	for _, id := range []string{"", "1742", "-", "1.2", "3.2-a", "x.2-a", "1.2.3-a", "1-A", "99999999999999999999-a", "1-a,2-b", "+1-a"} {
		if p, ok := sse.ParsePoint(id); ok {
			t.Errorf("%q was read as %+v", id, p)
		}
	}
	points, ok := sse.ParsePoints("shop=1.7-k3f9x,config=9-a")
	if !ok || len(points) != 2 || points["shop"].Sent != 1 || points["config"].Revision != 9 {
		t.Errorf("points %+v", points)
	}
	for _, id := range []string{"", "shop", "shop=", "shop=1-a,shop=2-a", "shop=1-a,", "=x"} {
		if _, ok := sse.ParsePoints(id); ok {
			t.Errorf("%q was read", id)
		}
	}
}

func FuzzParsePoint(f *testing.F) {
	f.Add("1731.1742-k3f9x")
	f.Fuzz(func(t *testing.T, id string) {
		if p, ok := sse.ParsePoint(id); ok {
			again, ok := sse.ParsePoint(string(sse.AppendPoint(nil, p)))
			if !ok || again != p {
				t.Errorf("%q: %+v, then %+v", id, p, again)
			}
		}
	})
}

// Whatever the value holds, a frame is one block: no line of it can be taken for a field of another.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("a\nid: 1\n\ndata: x"), "text/plain")
	f.Add([]byte(`{"a":1}`), "application/json")
	f.Fuzz(func(t *testing.T, value []byte, contentType string) {
		name, err := kvclient.ParseBucketName("b")
		if err != nil {
			t.Fatal(err)
		}
		for format := sse.EventStream; format <= sse.Lines; format++ {
			for form := kvclient.ValueByType; form <= kvclient.ValueNone; form++ {
				c := &feed.Change{Entry: kvclient.Entry{Key: "k", Position: kvclient.Position{Epoch: "a", Revision: 7}, Created: time.Unix(0, 0),
					Value: value, Size: len(value), ContentType: contentType}}
				e := sse.Encoder{Format: format, Bucket: name, Form: form}
				checkFrame(t, format, string(e.Change(c)), "7-a")
				checkFrame(t, format, string(e.AppendWithID(nil, []byte("b=7-a"), e.Change(c))), "b=7-a")
			}
		}
	})
}

func checkFrame(t *testing.T, format sse.Format, frame, id string) {
	t.Helper()
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
	if err := json.Unmarshal([]byte(data), &object); err != nil || !ended || object.Revision != 7 || format == sse.Lines && object.ID != id {
		t.Fatalf("%v: frame %q", err, frame)
	}
}
