package main

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// An output counts how often it is written to.
type output struct {
	mu     sync.Mutex
	text   bytes.Buffer
	writes int
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writes++
	return o.text.Write(p)
}

// seen returns how many lines were written, and in how many writes.
func (o *output) seen() (lines, writes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Count(o.text.String(), "\n"), o.writes
}

func TestLogLinesWaitAtMostTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out output
		log := zerolog.New(&logBuffer{out: &out})
		for range 10 {
			log.Info().Msg("x")
		}
		if lines, _ := out.seen(); lines != 0 {
			t.Errorf("%d lines written at once", lines)
		}
		time.Sleep(logFlushInterval)
		synctest.Wait()
		if lines, writes := out.seen(); lines != 10 || writes != 1 {
			t.Errorf("%d lines in %d writes, want 10 in 1", lines, writes)
		}
		log.Info().Msg("y")
		time.Sleep(logFlushInterval)
		synctest.Wait()
		if lines, _ := out.seen(); lines != 11 {
			t.Errorf("%d lines, want the eleventh after a second interval", lines)
		}
	})
}

func TestUrgentLogLinesAreWrittenAtOnce(t *testing.T) {
	var out output
	buffer := &logBuffer{out: &out}
	log := zerolog.New(buffer)

	log.Info().Msg("first")
	log.Error().Msg("bad")
	if lines, _ := out.seen(); lines != 2 {
		t.Errorf("%d lines after an error, want both", lines)
	}
	long := strings.Repeat("x", logBufferSize)
	log.Info().Msg(long)
	if lines, _ := out.seen(); lines != 3 {
		t.Errorf("%d lines after a full buffer, want 3", lines)
	}
	log.Info().Msg("last")
	buffer.direct()
	log.Info().Msg("after")
	if lines, _ := out.seen(); lines != 5 {
		t.Errorf("%d lines once nothing is held, want 5", lines)
	}
}

// A brokenWriter is a pipe that nobody reads any more.
type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestLogDropsWhatCannotBeWritten(t *testing.T) {
	b := &logBuffer{out: brokenWriter{}}
	for range 3 * logBufferSize / 100 {
		_, _ = b.Write(make([]byte, 100))
	}
	if len(b.lines) >= logBufferSize {
		t.Errorf("%d bytes held", len(b.lines))
	}
}

func BenchmarkAccessLogLine(b *testing.B) {
	for name, wrap := range map[string]func(*output) zerolog.Logger{
		"buffered":  func(o *output) zerolog.Logger { return zerolog.New(&logBuffer{out: o}) },
		"each line": func(o *output) zerolog.Logger { return zerolog.New(o) },
	} {
		b.Run(name, func(b *testing.B) {
			log := wrap(&output{}).With().Timestamp().Logger()
			b.ReportAllocs()
			for b.Loop() {
				log.Info().Str("id", "5f3a9c0e-1").Str("method", "GET").
					Str("route", "/buckets/{bucket}/keys/*").Int("status", 200).
					Int64("bytes", 128).Dur("duration", time.Microsecond).
					Msg("request")
			}
		})
	}
}
