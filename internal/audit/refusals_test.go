package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/audit"
	"kvgateway/internal/bound"
)

// refused notes n refusals of a client.
func refused(l *audit.Log, n int, client string, hasCredential bool) {
	for range n {
		l.Refused(client, hasCredential, &audit.Entry{ID: client, Client: client})
	}
}

// countLines returns how many lines of each client there are, and how many refusals further lines
// of it count.
func countLines(t *testing.T, lines []string) (of, more map[string]int) {
	t.Helper()
	of, more = make(map[string]int), make(map[string]int)
	for _, line := range lines {
		var e audit.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if e.More > 0 {
			more[e.Client] += e.More
		} else {
			of[e.Client]++
		}
	}
	return of, more
}

// A client without a credential gets some lines in a minute, and one that says how many more there
// were.
// Refusals of callers who are known have a line each.
func TestStrangersDoNotFillTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := &gatedWriter{}
		l := audit.To(disk, options(&gatedWriter{}))
		refused(l, 1000, "192.0.2.1", false)
		refused(l, 10, "192.0.2.2", false)
		refused(l, 1000, "192.0.2.3", true)
		time.Sleep(61 * time.Second)
		refused(l, 100, "192.0.2.1", false)
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		of, more := countLines(t, disk.lines())
		if of["192.0.2.1"] != 60 || more["192.0.2.1"] != 970+70 {
			t.Errorf("of the flood there are %d lines, and %d more",
				of["192.0.2.1"], more["192.0.2.1"])
		}
		if of["192.0.2.2"] != 10 || of["192.0.2.3"] != 1000 || len(more) != 1 {
			t.Errorf("lines %v, more %v", of, more)
		}
	})
}

// However many addresses they have, strangers write a bounded number of lines, and every refusal
// is counted.
func TestManyStrangersDoNotFillTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := &gatedWriter{}
		l := audit.To(disk, options(&gatedWriter{}))
		const clients, each = 5000, 3
		for range each {
			for i := range clients {
				refused(l, 1, fmt.Sprint("client ", i), false)
			}
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		lines := disk.lines()
		of, more := countLines(t, lines)
		all := 0
		for _, counts := range []map[string]int{of, more} {
			for _, n := range counts {
				all += n
			}
		}
		if len(lines) > 1000 || all != clients*each || more["others"] == 0 {
			t.Errorf("%d lines of %d refusals, %d of others", len(lines), all, more["others"])
		}
	})
}

// While the log cannot be written, refusals leave room for changes, and are counted once it can.
func TestRefusalsLeaveRoomForChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := &gatedWriter{err: errors.New("no space left")}
		l := audit.To(disk, options(&gatedWriter{}))
		for i := range 4 {
			refused(l, audit.MaxLines, fmt.Sprint("client ", i), true)
		}
		for i := range audit.MaxLines / 2 {
			owner := bound.WithOwner(t.Context(), fmt.Sprint("writer ", i%2))
			line, err := l.Take(owner)
			if err != nil {
				t.Fatalf("change %d: %v", i, err)
			}
			line.Write(&audit.Entry{Client: "writer"})
		}
		time.Sleep(2 * time.Minute) // The numbers have no room either.
		disk.fail(nil)
		time.Sleep(2 * time.Minute)
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		of, more := countLines(t, disk.lines())
		all := 0
		for i := range 4 {
			all += of[fmt.Sprint("client ", i)] + more[fmt.Sprint("client ", i)]
		}
		if of["writer"] != audit.MaxLines/2 || all != 4*audit.MaxLines {
			t.Errorf("%d lines of changes, %d refusals", of["writer"], all)
		}
	})
}
