package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

func TestBlocksAreParsed(t *testing.T) {
	p := NewParser(strings.NewReader("retry: 9\r\n\r\n: heartbeat\nid: 4-e\n\n" +
		": heartbeat\nevent: put\ndata: a\ndata: b\n\n: heartbeat\nid: 5-e\ndata: cut"))
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

func TestLinesAreParsed(t *testing.T) {
	p := NewParser(strings.NewReader(
		"{\"id\":\"4-e\",\"event\":\"heartbeat\"}\n{\"id\":\"5-e\",\"ev"))
	if got, err := p.NextLine(); err != nil || got.ID != "4-e" || got.Event != "heartbeat" {
		t.Fatalf("got %+v %v", got, err)
	}
	if _, err := p.NextLine(); err != io.EOF {
		t.Fatalf("a line that was cut: %v", err)
	}
}

// An id and the data beside it must agree.
func TestIDsMustAgreeWithTheData(t *testing.T) {
	one := newClient("", clientOptions{bucket: "b"}, 1, 1)
	noValues := newClient("", clientOptions{bucket: "b", noValues: true}, 1, 1)
	several := newClient("", clientOptions{}, 1, 1)
	const data = `{"bucket":"b","key":"a","operation":"put","epoch":"e","revision":4,"size":1,` +
		`"base64":"dg=="}`
	put := func(id string) Block { return Block{Event: "put", ID: id, HasID: true, Data: data} }
	deletion := Block{Event: "delete", ID: "4-e", HasID: true, Data: data}
	bookmark := func(id string, revision int, exact bool) Block {
		return Block{Event: "bookmark", ID: id, HasID: true,
			Data: fmt.Sprintf(`{"bucket":"b","revision":%d,"exact":%t}`, revision, exact)}
	}
	messages := newClient("", clientOptions{bucket: "b", messages: true}, 1, 1)
	lines := newClient("", clientOptions{bucket: "b", lines: true}, 1, 1)
	bare := newClient("", clientOptions{bucket: "b", bare: true}, 1, 1)
	id := Block{ID: "4-e", HasID: true}
	cases := map[string]struct {
		client *Client
		block  Block
		kind   string
	}{
		"a change":                   {one, put("4-e"), "change"},
		"with check and digest":      {one, put("4-e.7c0q~m41x"), "change"},
		"in a checked snapshot":      {one, put("4.9-e.7c0q~m41x"), "change"},
		"in a snapshot":              {one, put("4.9-e"), "change"},
		"with another id":            {one, put("5-e"), "unreadable"},
		"with another epoch's id":    {one, put("4-f"), "unreadable"},
		"under another name":         {one, deletion, "unreadable"},
		"a value nobody asked for":   {noValues, put("4-e"), "unreadable"},
		"a bookmark":                 {one, bookmark("4-e", 4, true), "bookmark"},
		"of another revision":        {one, bookmark("4-e", 5, true), "unreadable"},
		"a bookmark in a snapshot":   {one, bookmark("4.9-e", 4, false), "bare"},
		"that says the snapshot's":   {one, bookmark("4.9-e", 9, false), "unreadable"},
		"that says that it is exact": {one, bookmark("4.9-e", 4, true), "unreadable"},
		"nothing":                    {one, Block{}, "unreadable"},
		"a bare id":                  {one, id, "unreadable"},
		"a bare id, wanted":          {bare, id, "bare"},
		"nothing, with bare ids":     {bare, Block{}, "unreadable"},
		"data without a name":        {one, Block{Data: data}, "unreadable"},
		"a message":                  {messages, Block{Data: `{"event":"live"}`}, "live"},
		"a message with a name":      {messages, Block{Event: "live", Data: `{}`}, "unreadable"},
		"a heartbeat":                {one, Block{Event: "heartbeat", Data: `{}`}, "unreadable"},
		"a heartbeat in lines":       {lines, Block{Event: "heartbeat", Data: `{}`}, "bare"},
		"of several buckets":         {several, put("a=2-d,b=4-e"), "change"},
		"of several, without its id": {several, put("a=2-d"), "unreadable"},
	}
	for name, test := range cases {
		if items := test.client.meaning(test.block, time.Now()); items[0].Kind != test.kind {
			t.Errorf("%s: %+v", name, items)
		}
	}
	several.options.bare = true
	items := several.meaning(Block{ID: "a=2-d,b=3.4-e", HasID: true}, time.Now())
	if len(items) != 2 || items[1].Bucket != "a" || items[1].Revision != 2 {
		t.Errorf("ids of several buckets: %+v", items)
	}
}
