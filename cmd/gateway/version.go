package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"kvgateway/internal/handlers"
	"kvgateway/internal/natsd"
)

// Set by the build: -ldflags "-X main.version=v1.2.3 -X main.commit=… -X main.built=…".
var version, commit, built string

// buildInfo completes what the build did not set from what Go records by itself.
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

func orElse(value, other string) string {
	if value != "" {
		return value
	}
	return other
}

func printVersion(out io.Writer) error {
	b := buildInfo()
	_, err := fmt.Fprintf(out, "gateway %s\ncommit %s\nbuilt %s\n%s %s/%s\nnats-server %s\n",
		b.Version, orElse(b.Commit, "unknown"), orElse(b.Built, "unknown"),
		runtime.Version(), runtime.GOOS, runtime.GOARCH, natsd.Version)
	return err
}
