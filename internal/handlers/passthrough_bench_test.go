package handlers_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"kvgateway/internal/auth"
)

// BenchmarkGetPassedThrough compares a GET as a NATS user with one without a credential, of the
// same gateway before the same nats-server, which runs in this process.
func BenchmarkGetPassedThrough(b *testing.B) {
	policy, err := auth.Parse([]byte(`
roles: { reader: [{ bucket: shop, can: [read] }] }
anonymous: [reader]
nats: { enabled: true }
`))
	if err != nil {
		b.Fatal(err)
	}
	users := []natsUser{{Name: "ann", Account: "own"}}
	g, s := startPassing(b, users, func(u *setup) { u.handlers.Gate = auth.NewGate(policy) })
	put(b, bucketAs(b, s, "ann", "shop"), "a", strings.Repeat("x", 128))
	for name, header := range map[string]string{"anonymous": "", "user": basicAs("ann")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			began := cpuTime(b)
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, "/buckets/shop/keys/a", nil)
				if _, value, ok := strings.Cut(header, ": "); ok {
					r.Header.Set("Authorization", value)
				}
				w := httptest.NewRecorder()
				g.handler.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
			}
			b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpuTime returns the CPU time of this process in nanoseconds.
func cpuTime(b *testing.B) int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}
