package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// list returns what is in an archive: name, permissions and size of each member.
func list(t *testing.T, path string) (members []string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Ext(path) == ".zip" {
		zr, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range zr.File {
			members = append(members,
				fmt.Sprintf("%s %v %d", f.Name, f.Mode(), f.UncompressedSize64))
		}
		return members
	}
	zr, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	tr := tar.NewReader(zr)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return members
		}
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, fmt.Sprintf("%s %v %d", h.Name, h.FileInfo().Mode(), h.Size))
	}
}

// An archive has the program, the licence and the README, and is the same each time.
func TestArchiveIsTheSameEachTime(t *testing.T) {
	t.Chdir("../..")
	binary := filepath.Join(t.TempDir(), "linuxamd64")
	if err := os.WriteFile(binary, []byte("program"), 0o600); err != nil {
		t.Fatal(err)
	}
	size := func(name string) int64 {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	for system, program := range map[string]string{"linux": "gateway", "windows": "gateway.exe"} {
		var first []byte
		for n := range 2 {
			path, err := pack(t.TempDir(), "kvgateway_1", system, binary, time.Unix(1e9, 0))
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"kvgateway_1/" + program + " -rwxr-xr-x 7",
				fmt.Sprintf("kvgateway_1/LICENSE -rw-r--r-- %d", size("LICENSE")),
				fmt.Sprintf("kvgateway_1/README.md -rw-r--r-- %d", size("README.md"))}
			if got := list(t, path); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", system, got, want)
			}
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				first = content
			} else if !bytes.Equal(content, first) {
				t.Errorf("%s: the second archive differs", system)
			}
			later := time.Now().Add(time.Hour)
			if err := os.Chtimes(binary, later, later); err != nil {
				t.Fatal(err)
			}
		}
	}
}
