package main

import (
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/natsd"
)

const (
	// embeddedStopTimeout is how long the embedded server may take to stop. A request can keep the
	// lock of a stream for much longer.
	embeddedStopTimeout = 5 * time.Second
	// endGrace is how long the shutdown may take beyond the time of the requests: the feeds, the
	// connections to NATS, and the embedded server.
	endGrace = 10 * time.Second
)

// endBy ends the process after a time, whatever still runs, unless the timer that it returns is
// stopped. The store survives that as it survives a kill.
func endBy(after time.Duration, log zerolog.Logger, exit func(code int)) *time.Timer {
	return time.AfterFunc(after, func() {
		log.Error().Dur("after_ms", after).
			Msg("the shutdown takes too long: the process ends now")
		exit(1)
	})
}

// stopEmbedded stops the embedded server. If the server does not stop in time, it returns an error,
// and the process ends without it.
func stopEmbedded(embedded *natsd.Server, log zerolog.Logger) error {
	err := embedded.Shutdown()
	if err != nil {
		log.Error().Err(err).Msg("the process ends before the embedded nats-server is down")
		return fmt.Errorf("shutdown: %w", err)
	}
	return nil
}
