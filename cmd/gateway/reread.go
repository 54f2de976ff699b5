package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

// reread calls look whenever the interval has passed, and load on each SIGHUP, on a goroutine of
// its own until ctx ends. It returns at once, and no SIGHUP after that is missed. With an interval
// of 0 it waits for SIGHUP alone.
func reread(ctx context.Context, every time.Duration, look, load func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	var looks <-chan time.Time
	if every > 0 {
		looks = time.Tick(every)
	}
	go func() {
		defer signal.Stop(hangups)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				load()
			case <-looks:
				look()
			}
		}
	}()
}

// onHangup calls do on each SIGHUP, until ctx ends; see reread.
func onHangup(ctx context.Context, do func()) { reread(ctx, 0, nil, do) }

// surviveHangups keeps SIGHUP from ending the process until ctx ends, and logs what is read again
// for it. Whatever can be read again hears of the signal for itself.
func (c *config) surviveHangups(ctx context.Context, log zerolog.Logger) {
	files := c.rereadable()
	onHangup(ctx, func() {
		if len(files) == 0 {
			log.Info().Msg("SIGHUP: there is nothing to read again, since none of --auth-file, " +
				"--tls-cert, --ticket-key and --audit-log names a file")
			return
		}
		log.Info().Strs("files", files).Msg("SIGHUP: files are read again, or opened anew")
	})
}

// rereadable returns the names of the files of the settings that are read again, or opened anew, on
// SIGHUP.
func (c *config) rereadable() (names []string) {
	all := []string{c.AuthFile, c.TLSCert, c.TLSKey, c.TLSClientCA, c.TicketKey}
	if c.AuditLog != "-" {
		all = append(all, c.AuditLog)
	}
	for _, name := range all {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}
