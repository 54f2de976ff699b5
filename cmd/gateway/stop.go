package main

import (
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/natsd"
)

const (
	// embeddedStopTimeout is how long the embedded server may take to stop. A request can keep a
	// stream's lock for much longer.
	embeddedStopTimeout = 5 * time.Second
	// endGrace is how long everything may take that comes after the requests: the feeds, the
	// connections to NATS, and the embedded server.
	endGrace = 10 * time.Second
)

// endBy ends the process after some time, whatever still runs, unless the timer is stopped. The
// store survives that as it survives a kill.
func endBy(after time.Duration, log zerolog.Logger, exit func(code int)) *time.Timer {
	return time.AfterFunc(after, func() {
		log.Error().Dur("after_ms", after).
			Msg("the shutdown does not come to its end: the process ends now")
		exit(1)
	})
}

// stopEmbedded stops the embedded server, or says why it is left to the end of the process.
func stopEmbedded(embedded *natsd.Server, log zerolog.Logger) error {
	err := embedded.Shutdown()
	if err != nil {
		log.Error().Err(err).Msg("the process ends without it")
		return fmt.Errorf("shutdown: %w", err)
	}
	return nil
}
