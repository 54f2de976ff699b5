package natsd_test

import (
	"bytes"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"kvgateway/internal/natsd"
)

// A loss that shows only when the server has opened the store shows again at the next start, since
// the record is left as it was found.
func TestRefusalAfterOpeningLeavesTheRecord(t *testing.T) {
	t.Parallel()
	d := stored(t, always)
	record := filepath.Join(d.dataDir, "streams.json")
	edit(t, record, func(b []byte) []byte {
		return bytes.Replace(b, []byte(`"messages": 100`), []byte(`"messages": 101`), 1)
	})
	before := contents(t, []string{record})[record]
	opts := always
	opts.DataDir = d.dataDir
	for range 3 {
		_, err := natsd.Start(t.Context(), opts)
		loss, ok := errors.AsType[*natsd.LossError](err)
		if !ok || !loss.Opened || !strings.Contains(err.Error(), "lacks 1 of the 101 messages") {
			t.Fatalf("error %v, want that a message is missing", err)
		}
		if now := contents(t, []string{record})[record]; !bytes.Equal(now, before) {
			t.Errorf("the record is\n%s\nand was\n%s", now, before)
		}
	}
}

// A start that fails for another reason, such as an address that is taken, leaves the record as it
// was found too.
func TestFailedStartLeavesTheRecord(t *testing.T) {
	t.Parallel()
	d := stored(t, always)
	record := filepath.Join(d.dataDir, "streams.json")
	before := contents(t, []string{record})[record]
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	opts := always
	opts.DataDir, opts.Listen = d.dataDir, taken.Addr().String()
	if s, err := natsd.Start(t.Context(), opts); err == nil {
		_ = s.Shutdown()
		t.Fatal("started on an address that is taken")
	}
	if now := contents(t, []string{record})[record]; !bytes.Equal(now, before) {
		t.Errorf("the record is\n%s\nand was\n%s", now, before)
	}
	opts.Listen = ""
	start(t, opts)
}
