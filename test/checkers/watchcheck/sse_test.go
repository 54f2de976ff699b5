package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestParser(t *testing.T) {
	p := NewParser(strings.NewReader("retry: 9\r\n\r\nid: 4-e\n: heartbeat\n\nevent: put\ndata: a\ndata: b\n\nid: 5-e\ndata: cut"))
	want := []Block{{}, {ID: "4-e", HasID: true}, {Event: "put", Data: "a\nb"}}
	for _, block := range want {
		if got, err := p.Next(); err != nil || got != block {
			t.Fatalf("got %+v %v, want %+v", got, err, block)
		}
	}
	if _, err := p.Next(); err != io.EOF {
		t.Fatalf("a block that was cut: %v", err)
	}
}

func TestLines(t *testing.T) {
	p := NewParser(strings.NewReader("{\"id\":\"4-e\",\"event\":\"heartbeat\"}\n{\"id\":\"5-e\",\"ev"))
	if got, err := p.NextLine(); err != nil || got.ID != "4-e" || got.Event != "heartbeat" {
		t.Fatalf("got %+v %v", got, err)
	}
	if _, err := p.NextLine(); err != io.EOF {
		t.Fatalf("a line that was cut: %v", err)
	}
}

// An id and what it stands beside must say the same.
func TestMeaning(t *testing.T) {
	one := newClient("", clientOptions{bucket: "b"}, 1, 1)
	put := `{"bucket":"b","key":"a","operation":"put","epoch":"e","revision":4,"size":1,"base64":"dg=="}`
	cases := map[string]struct {
		client *Client
		block  Block
		kind   string
	}{
		"a change":                   {one, Block{Event: "put", ID: "4-e", HasID: true, Data: put}, "change"},
		"with check and digest":      {one, Block{Event: "put", ID: "4-e.7c0q~m41x", HasID: true, Data: put}, "change"},
		"in a checked snapshot":      {one, Block{Event: "put", ID: "4.9-e.7c0q~m41x", HasID: true, Data: put}, "change"},
		"in a snapshot":              {one, Block{Event: "put", ID: "4.9-e", HasID: true, Data: put}, "change"},
		"with another's id":          {one, Block{Event: "put", ID: "5-e", HasID: true, Data: put}, "unreadable"},
		"with another epoch's id":    {one, Block{Event: "put", ID: "4-f", HasID: true, Data: put}, "unreadable"},
		"under another name":         {one, Block{Event: "delete", ID: "4-e", HasID: true, Data: put}, "unreadable"},
		"a value nobody asked for":   {newClient("", clientOptions{bucket: "b", noValues: true}, 1, 1), Block{Event: "put", ID: "4-e", HasID: true, Data: put}, "unreadable"},
		"of several buckets":         {newClient("", clientOptions{}, 1, 1), Block{Event: "put", ID: "a=2-d,b=4-e", HasID: true, Data: put}, "change"},
		"of several, without its id": {newClient("", clientOptions{}, 1, 1), Block{Event: "put", ID: "a=2-d", HasID: true, Data: put}, "unreadable"},
	}
	for name, test := range cases {
		if items := test.client.meaning(test.block, time.Now()); items[0].Kind != test.kind {
			t.Errorf("%s: %+v", name, items)
		}
	}
	several := newClient("", clientOptions{}, 1, 1)
	if items := several.meaning(Block{ID: "a=2-d,b=3.4-e", HasID: true}, time.Now()); len(items) != 2 || items[1].Bucket != "a" || items[1].Revision != 2 {
		t.Errorf("ids of several buckets: %+v", items)
	}
}
