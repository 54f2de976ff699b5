package kv_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"kvgateway/internal/kv"
)

func TestParseRevision(t *testing.T) {
	for s, want := range map[string]kv.Revision{
		"0": 0, "1": 1, "42": 42, "9007199254740991": kv.MaxRevision,
	} {
		if got, err := kv.ParseRevision(s); err != nil || got != want || got.String() != s {
			t.Errorf("ParseRevision(%q) = %d, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", " ", "-1", "+1", "-0", "01", "007", " 1", "1 ", "1.0", "1e3", "0x10", "1_000", "١",
		"9007199254740992", "18446744073709551615",
		"18446744073709551616", strings.Repeat("9", 400), "a", "1\n", "\x001",
	} {
		_, err := kv.ParseRevision(s)
		if err == nil {
			t.Errorf("ParseRevision(%.40q) accepts", s)
			continue
		}
		wantOffset(t, err, "revision", 0)
	}
}

func TestParsePosition(t *testing.T) {
	for s, want := range map[string]kv.Position{
		"0":        {},
		"42":       {Revision: 42},
		"42-k3f9x": {Revision: 42, Epoch: "k3f9x"},
		"0-0":      {Epoch: "0"},
		"42-k3f9x.7c0q": {
			Revision: 42, Epoch: "k3f9x", Check: kv.Check{'7', 'c', '0', 'q'},
		},
		"1742-1zzzzzzzzzzzz": {Revision: 1742, Epoch: "1zzzzzzzzzzzz"},
	} {
		if got, err := kv.ParsePosition(s); err != nil || got != want || got.String() != s {
			t.Errorf("ParsePosition(%q) = %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "-", "42-", "-k3f9x", "42-K3F9X", "42-a-b", "42--a", "42-a b", "42 -a", `"42"`, "W/42",
		"*", "42-é", "42-aaaaaaaaaaaaaa", "9007199254740992-a", "42,43", "42-a,43-a", "42.7c0q",
		"42-a.", "42-a.7c0", "42-a.7c0qq", "42-a.7C0q", "42-.7c0q",
		"42-a.7c0q.7c0q", "42-a.7c0q-gzip", "42-a~m41x", "0-a.7c0q",
	} {
		_, err := kv.ParsePosition(s)
		if err == nil {
			t.Errorf("ParsePosition(%q) accepts", s)
			continue
		}
		wantOffset(t, err, "position", 0)
	}
}

func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{
		"", "0", "42", "42-k3f9x", "042", "-1", "42-", "9007199254740991-zzz", "9007199254740992",
		"1-0000000000000", "42-a.7c0q", "42-a.", "42-a.b.c",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := kv.ParsePosition(s)
		if err != nil {
			_, ok := errors.AsType[*kv.SyntaxError](err)
			if !ok || p != (kv.Position{}) {
				t.Fatalf("%q: %+v, %v", s, p, err)
			}
			return
		}
		if p.Revision > kv.MaxRevision {
			t.Fatalf("%q: revision %d", s, p.Revision)
		}
		again, err := kv.ParsePosition(p.String())
		if err != nil || again != p {
			t.Fatalf("%q becomes %q becomes %+v, %v", s, p, again, err)
		}
		if bare := strings.TrimLeft(s, "0"); strings.TrimLeft(p.String(), "0") != bare {
			t.Fatalf("%q becomes %q", s, p)
		}
	})
}

// The check of a time must never change, since clients and gateways of all versions must agree on
// it.
func TestCheckOfTimeNeverChanges(t *testing.T) {
	for nanoseconds, want := range map[int64]string{
		1: "dzad", 2: "fclm", 1763835791482915023: "9hk0", -1: "lxff",
	} {
		got := kv.CheckOf(time.Unix(0, nanoseconds))
		if string(got[:]) != want || !got.Known() {
			t.Errorf("the check of %d ns is %q, want %q", nanoseconds, got, want)
		}
	}
	if none := kv.CheckOf(time.Time{}); none.Known() {
		t.Errorf("no time has the check %q", none)
	}
}
