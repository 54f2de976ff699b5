package main

import (
	"io"
	"slices"
	"strings"
	"testing"
)

// correct is a snapshot of three keys, a sync, a live part, a resume and a live part.
func correct() ([]Item, Truth) {
	truth := Truth{ByRevision: map[uint64]Change{}, Kept: map[uint64]bool{}}
	put := func(revision uint64, key string) Item {
		c := Change{revision, key, "put", "v"}
		truth.ByRevision[revision], truth.Kept[revision] = c, true
		return Item{Kind: "change", Change: c}
	}
	trace := []Item{{Kind: "connect"}, put(1, "a"), put(2, "b"), put(3, "c"),
		{Kind: "sync", Revision: 3, Exact: true},
		put(4, "a"), put(5, "d"), put(6, "b"), {Kind: "bookmark", Revision: 6},
		{Kind: "connect", Resumed: true}, put(7, "c"), put(8, "e"), {Kind: "sync", Revision: 8}, put(9, "f"),
		{Kind: "bookmark", Revision: 9, Exact: true}}
	return trace, truth
}

func TestCorrectTraceIsAccepted(t *testing.T) {
	trace, truth := correct()
	if found := Validate(trace, truth, all); found != nil {
		t.Fatal(found)
	}
}

func TestFaultsAreCaught(t *testing.T) {
	drop := func(i int) func([]Item) []Item {
		return func(trace []Item) []Item { return slices.Delete(trace, i, i+1) }
	}
	cases := map[string]struct {
		change  func([]Item) []Item
		promise string
	}{
		"dropped":                 {drop(6), "reliable"},
		"dropped in the snapshot": {drop(2), "seamless"},
		"duplicated":              {func(trace []Item) []Item { return slices.Insert(trace, 6, trace[5]) }, "unique"},
		"changed":                 {func(trace []Item) []Item { trace[5].Change.Value = "w"; return trace }, "reliable"},
		"swapped":                 {func(trace []Item) []Item { trace[5], trace[6] = trace[6], trace[5]; return trace }, "ordered"},
		"first lost after sync":   {drop(5), "reliable"},
		"first lost after resume": {drop(10), "reliable"},
		"tail lost":               {drop(13), "reliable"},
		"after its position":      {func(trace []Item) []Item { trace[8].Revision = 7; return trace }, "bookmarkable"},
		"never exact again":       {drop(14), "seamless"},
		"refused by status":       {func(trace []Item) []Item { return append(trace, Item{Kind: "refused", Reason: "503"}) }, "resumable"},
		"unnamed reset":           {func(trace []Item) []Item { return append(trace, Item{Kind: "reset", Reason: "?"}) }, "resumable"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			trace, truth := correct()
			found := Validate(test.change(trace), truth, all)
			if !slices.ContainsFunc(found, func(v Violation) bool { return v.Promise == test.promise }) {
				t.Fatalf("%s not among %v", test.promise, found)
			}
		})
	}
}

func TestUnknownRevisionsAreNotClaimed(t *testing.T) {
	cases := map[string]struct {
		unknown  []uint64
		previous map[uint64]uint64
		caught   bool
	}{
		"nothing unknown":                        {nil, nil, true},
		"an unknown one may explain it":          {[]uint64{5}, nil, false},
		"an unknown one after the point":         {[]uint64{7}, nil, true},
		"an unknown one that was another key's":  {[]uint64{5}, map[uint64]uint64{9: 4}, true},
		"an unknown one that was this key's own": {[]uint64{5}, map[uint64]uint64{9: 5}, false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			truth := Truth{ByRevision: map[uint64]Change{}, Kept: map[uint64]bool{9: true}, Unknown: map[uint64]bool{}, Previous: test.previous}
			for _, revision := range []uint64{4, 9} {
				truth.ByRevision[revision] = Change{revision, "a", "put", "v"}
			}
			for _, revision := range test.unknown {
				truth.Unknown[revision] = true
			}
			trace := []Item{{Kind: "connect"}, {Kind: "sync", Revision: 6, Exact: true}, {Kind: "change", Change: truth.ByRevision[9]}}
			if found := Validate(trace, truth, all); (found != nil) != test.caught {
				t.Fatal(found)
			}
		})
	}
}

func all(string) bool { return true }

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
