package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"
)

// A member is a file of an archive.
type member struct {
	// name is its name in the archive.
	name string
	// content is what is in it.
	content []byte
	// mode has its permissions.
	mode os.FileMode
}

// pack makes the archive of a system and returns its path: a zip file for Windows, and a compressed
// tar file for all others. Everything in it is below a directory with the archive's name.
func pack(out, name, system, binary string, modified time.Time) (string, error) {
	program, ending, write := "gateway", ".tar.gz", writeTar
	if system == "windows" {
		program, ending, write = "gateway.exe", ".zip", writeZip
	}
	members := []member{}
	for _, file := range append([]string{binary}, documents...) {
		content, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		m := member{name: name + "/" + filepath.Base(file), content: content, mode: 0o644}
		if file == binary {
			m.name, m.mode = name+"/"+program, 0o755
		}
		members = append(members, m)
	}
	path := filepath.Join(out, name+ending)
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	return path, errors.Join(write(f, members, modified), f.Close())
}

// writeTar writes a compressed tar file. Owners and times do not depend on the machine.
func writeTar(w io.Writer, members []member, modified time.Time) error {
	zw, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(zw)
	for _, m := range members {
		err := tw.WriteHeader(&tar.Header{Name: m.name, Mode: int64(m.mode),
			Size: int64(len(m.content)), ModTime: modified, Format: tar.FormatPAX})
		if err != nil {
			return err
		}
		if _, err := tw.Write(m.content); err != nil {
			return err
		}
	}
	return errors.Join(tw.Close(), zw.Close())
}

// writeZip writes a zip file.
func writeZip(w io.Writer, members []member, modified time.Time) error {
	zw := zip.NewWriter(w)
	for _, m := range members {
		header := &zip.FileHeader{Name: m.name, Method: zip.Deflate, Modified: modified}
		header.SetMode(m.mode)
		f, err := zw.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := f.Write(m.content); err != nil {
			return err
		}
	}
	return zw.Close()
}
