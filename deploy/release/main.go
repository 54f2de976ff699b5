// Release makes the archives of a release: a static binary for each system, with the licence and
// the README, and a file with the checksums of all archives. `make release` runs it.
//
// The same commit gives the same bytes on every machine that has the same version of Go. The paths
// of the machine are trimmed from the binaries, and every time is that of the commit.
package main

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// targets are the systems for which there is an archive.
var targets = []struct{ os, arch string }{
	{"linux", "amd64"}, {"linux", "arm64"},
	{"darwin", "amd64"}, {"darwin", "arm64"},
	{"windows", "amd64"}, {"windows", "arm64"},
}

// documents are the files beside the binary.
var documents = []string{"LICENSE", "README.md"}

func main() {
	version := flag.String("version", "", "the version, as git describe names it")
	out := flag.String("o", "dist", "the directory of the archives; what is in it is removed")
	only := flag.String("only", "", "make only the archive of this system, such as linux/arm64")
	flag.Parse()
	if err := release(*version, *out, *only); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release makes all archives, or only that of one system, and SHA256SUMS. It runs at the root of
// the repository.
func release(version, out, only string) error {
	if version == "" {
		return errors.New("name a -version")
	}
	ldflags, built, err := stamps(version)
	if err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(out), os.MkdirAll(out, 0o755)); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "kvgw-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	var sums strings.Builder
	for _, target := range targets {
		if only != "" && only != target.os+"/"+target.arch {
			continue
		}
		binary := filepath.Join(work, target.os+target.arch)
		if err := build(binary, target.os, target.arch, ldflags); err != nil {
			return err
		}
		name := fmt.Sprintf("kvgateway_%s_%s_%s", strings.TrimPrefix(version, "v"), target.os,
			target.arch)
		archive, err := pack(out, name, target.os, binary, built)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(archive)
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), filepath.Base(archive))
		fmt.Printf("%s (%d bytes)\n", archive, len(content))
	}
	if sums.Len() == 0 {
		return fmt.Errorf("there is no archive for %s", only)
	}
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(sums.String()), 0o644)
}

// stamps returns the linker's flags that put version, commit and time into a binary, and the time,
// which is that of the commit.
func stamps(version string) (ldflags string, built time.Time, err error) {
	commit, err := git("rev-parse", "--short", "HEAD")
	if err != nil {
		return "", built, err
	}
	seconds, err := git("show", "-s", "--format=%ct", "HEAD")
	if err != nil {
		return "", built, err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	built = time.Unix(unix, 0).UTC()
	return fmt.Sprintf("-s -w -X main.version=%s -X main.commit=%s -X main.built=%s",
		version, commit, built.Format(time.RFC3339)), built, err
}

// build makes a static binary.
func build(path, system, arch, ldflags string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags,
		"-o", path, "./cmd/gateway")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch,
		"GOAMD64=v1", "GOARM64=v8.0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build for %s/%s: %w", system, arch, err)
	}
	return nil
}

// git returns what a command of git prints.
func git(args ...string) (string, error) {
	out, err := exec.Command("git", args...).Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}
