//go:build unix

package main

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// program writes a program that does what lines of sh say, and returns its path.
func program(t *testing.T, lines string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+lines+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// A program that does not start is told with the end of its log, and nothing goes on running.
func TestFailedStartIsTold(t *testing.T) {
	err := run(t.Context(), options{dir: t.TempDir(), root: "../..", freePorts: true,
		nats: program(t, "echo no such luck; exit 3")}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "nats-1 has ended (exit status 3)") ||
		!strings.Contains(err.Error(), "no such luck") {
		t.Errorf("error %v", err)
	}
}

// If one of the ports is taken, whoever may have it, nothing is started.
func TestTakenPortIsTold(t *testing.T) {
	if l, err := net.Listen("tcp", address(8082)); err == nil {
		defer l.Close()
	}
	started := filepath.Join(t.TempDir(), "started")
	err := run(t.Context(), options{dir: t.TempDir(), root: "../..",
		nats: program(t, "touch "+started+"; exit 3")}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "is taken") ||
		!strings.Contains(err.Error(), "-free-ports") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(started); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a program was started: %v", err)
	}
}

// A good answer at the address of a process that has ended is that of a stranger.
func TestStrangerIsNotTakenForAProcess(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer stranger.Close()
	c := &cluster{dir: t.TempDir(), ended: make(chan *process, 1)}
	p, err := c.launch("gateway-1", stranger.URL, program(t, "echo no port; exit 1"))
	if err != nil {
		t.Fatal(err)
	}
	<-p.exited
	err = p.await(t.Context(), stranger.URL)
	if err == nil || !strings.Contains(err.Error(), "gateway-1 has ended (exit status 1)") ||
		!strings.Contains(err.Error(), "no port") {
		t.Errorf("error %v", err)
	}
}

func TestSiteListensWhereItIsTold(t *testing.T) {
	const conf = "upstream g {\n    server 127.0.0.1:8080 fail_timeout=1s;\n" +
		"    # server 127.0.0.1:8081 fail_timeout=1s;\n    keepalive 64;\n}\n" +
		"server {\n    listen 80;\n}\n"
	got, err := site(conf, "127.0.0.1:7", []string{"a:1", "b:2", "c:3"})
	if err != nil {
		t.Fatal(err)
	}
	const want = "upstream g {\n    server a:1 fail_timeout=1s;\n" +
		"    server b:2 fail_timeout=1s;\n    server c:3 fail_timeout=1s;\n    keepalive 64;\n}\n" +
		"server {\n    listen 127.0.0.1:7;\n}\n"
	if got != want {
		t.Errorf("site:\n%s", got)
	}
	if _, err := site("server { listen 81; }", "127.0.0.1:7", nil); err == nil {
		t.Error("a configuration without the lines is accepted")
	}
}
