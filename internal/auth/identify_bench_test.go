package auth_test

import (
	"testing"

	"kvgateway/internal/auth"
)

// BenchmarkIdentify measures what it takes to know a caller who was known before, beside callers
// without a credential.
func BenchmarkIdentify(b *testing.B) {
	gate := gateOf(b, limitsFile(b)+"anonymous: [clerk]\n")
	jwt := a256().sign(b, nil, claimsOf(issuerA, nil))
	for name, header := range map[string]string{
		"anonymous": "", "token": "Bearer " + annsToken, "jwt": "Bearer " + jwt,
		"nats": basic("ann", "secret"),
	} {
		b.Run(name, func(b *testing.B) {
			var lines []string
			if header != "" {
				lines = []string{header}
			}
			ask := func() *auth.Caller {
				presented := auth.Presented{Authorization: lines, Address: "192.0.2.1"}
				caller, err := gate.Identify(b.Context(), &presented)
				if err != nil {
					b.Fatal(err)
				}
				return caller
			}
			if caller := ask(); caller.Kind == auth.NATS {
				gate.NATSAccepted(caller)
			}
			b.ReportAllocs()
			for b.Loop() {
				ask()
			}
		})
	}
}
