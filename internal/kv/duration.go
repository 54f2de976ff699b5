package kv

import (
	"encoding/json"
	"fmt"
	"time"
)

const (
	// MinTTL is the shortest time to live that NATS takes.
	MinTTL = time.Second
	// MaxTTL keeps the end of a time to live within what the server can count: nanoseconds since
	// 1970, in 63 bits.
	MaxTTL = 100 * 365 * 24 * time.Hour
)

// A Duration is a time.Duration whose JSON is what Go writes for it: "90s", "15m", "24h".
type Duration time.Duration

// String returns the duration as Go writes it.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON implements json.Unmarshaler. Negative durations are refused.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("a duration is a string such as \"90s\": %w", err)
	}
	parsed, err := time.ParseDuration(s)
	if err != nil || parsed < 0 {
		return fmt.Errorf("%.32q is not a duration from 0s to 292 years, such as \"90s\", \"15m\" "+
			"or \"24h\"", s)
	}
	*d = Duration(parsed)
	return nil
}
