package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"kvgateway/internal/handlers"
	"kvgateway/internal/natsd"
)

// The build sets these variables: -ldflags "-X main.version=v1.2.3 -X main.commit=… -X
// main.built=…".
var version, commit, built string

// buildInfo returns what the build has set, and for the rest what Go records by itself.
func buildInfo() handlers.BuildInfo {
	b := handlers.BuildInfo{Version: version, Commit: commit, Built: built}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Version = orElse(b.Version, info.Main.Version)
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = orElse(b.Commit, s.Value)
			case "vcs.time":
				b.Built = orElse(b.Built, s.Value)
			}
		}
	}
	b.Version = orElse(b.Version, "(devel)")
	return b
}

// orElse returns value, or other if value is empty.
func orElse(value, other string) string {
	if value != "" {
		return value
	}
	return other
}

// printVersion prints the versions of the gateway, Go and the built-in nats-server.
func printVersion(out io.Writer) error {
	b := buildInfo()
	_, err := fmt.Fprintf(out, "gateway %s\ncommit %s\nbuilt %s\n%s %s/%s\nnats-server %s\n",
		b.Version, orElse(b.Commit, "unknown"), orElse(b.Built, "unknown"),
		runtime.Version(), runtime.GOOS, runtime.GOARCH, natsd.Version)
	return err
}
