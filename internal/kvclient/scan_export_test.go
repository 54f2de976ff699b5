package kvclient_test

import (
	"testing"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// What exports remember of the keys that they have shown is counted. Where there is no room for it,
// an export still shows every key, and only those that are written meanwhile come twice. A third of
// the keys are overwritten before they are read: more than are looked for at once.
func TestExportsShareWhatTheyRemember(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	bounds := bound.NewSet()
	c := connect(t, kvclient.Options{URL: s.URL(), Bounds: bounds})
	b := shop(t, c, memory)
	f, names := newFiller(t, s), numbered("key.with.a.name.", 30_000)
	overwritten := names[20_000:]
	f.fill(t, names, "v")
	room := bounds.Find("export-bytes")
	export := func() (times map[string]int, most int64) {
		times = make(map[string]int, len(names))
		_, err := b.Export(t.Context(), kvclient.Export{}, func(e *kv.Entry) error {
			if len(times) == 0 {
				f.fill(t, overwritten, "v")
			}
			times[e.Key]++
			most = max(most, room.Used())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return times, most
	}
	check := func(times map[string]int, most int) {
		t.Helper()
		for i, name := range names {
			if n := times[name]; n == 0 || n > 1 && (i < 20_000 || n > most) {
				t.Fatalf("%s came %d times", name, n)
			}
		}
	}
	times, most := export()
	check(times, 1)
	if most < 30_000*8 || most > 1<<20 || room.Used() != 0 {
		t.Errorf("%d bytes are held for 30,000 keys, then %d", most, room.Used())
	}
	take := func(owner string, size int64) {
		hold := new(bound.Hold)
		if err := room.Take(t.Context(), hold, owner, size, nil); err != nil {
			t.Fatal(err)
		}
	}
	// Large exports of two other clients take nothing from one of this size.
	take("greedy", room.Limit())
	take("other", 12<<20)
	times, _ = export()
	check(times, 1)
	for room.Used() < room.Limit() {
		take("", min(room.Limit()-room.Used(), 512<<10))
	}
	times, _ = export()
	check(times, 2)
	if room.Used() != room.Limit() {
		t.Errorf("%d of %d bytes are held", room.Used(), room.Limit())
	}
}
