package auth

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
)

// Files are an auth file and the files with keys that it names, with what they had when they were
// read. Each of them may have been read at another moment.
type Files struct {
	// all are the files in the order in which they were read. A file that two issuers name was read
	// twice.
	all []fileSum
}

// A fileSum says what a file had.
type fileSum struct {
	// name is that of the file, and limit bounds its size in bytes.
	name  string
	limit int64
	// text is the SHA-256 of what it had, and failure why it could not be read, if so.
	text    [sha256.Size]byte
	failure string
}

// A Digest is a hash of what files have, or of why they cannot be read.
type Digest [sha256.Size]byte

// Digest returns the digest of what the files had when they were read.
func (f *Files) Digest() Digest {
	var d Digest
	h := sha256.New()
	for _, file := range f.all {
		fmt.Fprintf(h, "%x %q\n", file.text, file.failure)
	}
	h.Sum(d[:0])
	return d
}

// DigestNow reads the same files again, and returns the digest of what they have now.
func (f *Files) DigestNow() Digest {
	now := new(Files)
	for _, file := range f.all {
		_, _ = now.read(file.name, file.limit) // An error is a part of the digest.
	}
	return now.Digest()
}

// read reads a file of at most limit bytes, and notes what it had.
func (f *Files) read(name string, limit int64) ([]byte, error) {
	text, err := readFile(name, limit)
	sum := fileSum{name: name, limit: limit, text: sha256.Sum256(text)}
	if err != nil {
		sum.failure = err.Error()
	}
	f.all = append(f.all, sum)
	return text, err
}

// readFile reads a file of at most limit bytes. It refuses what is no regular file, such as a named
// pipe, which could block for ever.
func readFile(name string, limit int64) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	// #nosec G304 -- the operator names the file
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(text)) > limit:
		return nil, fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return text, nil
}
