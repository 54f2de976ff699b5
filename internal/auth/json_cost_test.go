package auth_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// withMember returns a token with one more claim, whose value is this JSON.
func withMember(t testing.TB, value string, changes body) string {
	t.Helper()
	text, err := json.Marshal(claimsOf(issuerA, changes))
	if err != nil {
		t.Fatal(err)
	}
	return a256().signText(t, nil, strings.TrimSuffix(string(text), "}")+`,"x":`+value+"}")
}

// nested returns lists in each other.
func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// items returns a list with that many items.
func items(count int) string { return "[" + strings.Repeat("0,", count-1) + "0]" }

// object returns an object with that many members.
func object(members int) string {
	texts := make([]string, members)
	for i := range texts {
		texts[i] = fmt.Sprintf(`"%d":0`, i)
	}
	return "{" + strings.Join(texts, ",") + "}"
}

func TestJWTThatIsCostlyToReadIsRefused(t *testing.T) {
	t.Parallel()
	gate := gateA(t)
	for _, value := range []string{nested(16), object(257), nested(2500), items(520)} {
		isRefused(t, gate, withMember(t, value, nil), "too much in it", value[:16])
	}
	for _, value := range []string{
		nested(15), object(200), `"` + strings.Repeat(`[{\":\\`, 500) + `"`,
		items(500),
	} {
		isAccepted(t, gate, withMember(t, value, nil), value)
	}
}

// BenchmarkRefuseJWT measures what it takes to refuse tokens that have expired, of as many bytes as
// a token may have.
func BenchmarkRefuseJWT(b *testing.B) {
	gate := gateA(b)
	for name, value := range map[string]string{
		"nested": nested(2500), "members": object(700), "fewer members": object(240),
		"items": items(2500), "fewer items": items(500),
		"text":  `"` + strings.Repeat("x", 5000) + `"`,
		"small": "0",
	} {
		token := withMember(b, value, body{"exp": time.Now().Unix() - 1})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := identify(b, gate, "Bearer "+token); err == nil {
					b.Fatal("it is accepted")
				}
			}
		})
	}
}
