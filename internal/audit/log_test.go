package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/audit"
	"kvgateway/internal/bound"
)

// options returns the options of a log that complains to a writer.
func options(complaints *gatedWriter) audit.Options {
	return audit.Options{Bounds: bound.NewSet(), Logger: zerolog.New(complaints)}
}

// A gatedWriter keeps what is written to it. While it has an error, nothing can be written.
type gatedWriter struct {
	mu   sync.Mutex
	text bytes.Buffer
	err  error
	// most is how many bytes are taken of each write that fails.
	most int
}

func (w *gatedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		n, _ := w.text.Write(p[:min(w.most, len(p))])
		return n, w.err
	}
	return w.text.Write(p)
}

// fail makes writes fail with an error, nil for none.
func (w *gatedWriter) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

// lines returns what was written, without the line feed at the end.
func (w *gatedWriter) lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Split(strings.TrimSuffix(w.text.String(), "\n"), "\n")
}

// note writes a line with an id, and fails if there is no place for it.
func note(t *testing.T, l *audit.Log, id string) {
	t.Helper()
	line, err := l.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	line.Write(&audit.Entry{ID: id, Outcome: audit.Done})
}

// ids returns the ids of lines, each of which must be JSON.
func ids(t *testing.T, lines []string) string {
	t.Helper()
	var all []string
	for _, line := range lines {
		var entry audit.Entry
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		all = append(all, entry.ID)
	}
	return strings.Join(all, " ")
}

// While the lines cannot be written, so many wait as there are places. Then further changes get an
// error after a second, and when writing works again every line that was promised comes, once and
// in order.
func TestLogIsBoundedAndLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, complaints := &gatedWriter{err: errors.New("no space left"), most: 7}, &gatedWriter{}
		l := audit.To(disk, options(complaints))
		// One address has a share of half, so that it cannot keep all others out.
		owners, want := []string{"192.0.2.1", "192.0.2.2"}, []string{}
		for i := range audit.MaxLines {
			line, err := l.Take(bound.WithOwner(t.Context(), owners[i%2]))
			if err != nil {
				t.Fatalf("line %d: %v", i, err)
			}
			line.Write(&audit.Entry{ID: fmt.Sprint("n", i)})
			want = append(want, fmt.Sprint("n", i))
		}
		began := time.Now()
		_, err := l.Take(bound.WithOwner(t.Context(), "192.0.2.3"))
		if _, full := errors.AsType[*bound.FullError](err); !full {
			t.Errorf("one more: %v", err)
		}
		if waited := time.Since(began); waited < time.Second || waited > 2*time.Second {
			t.Errorf("it was refused after %v", waited)
		}
		disk.fail(nil)
		time.Sleep(3 * time.Second)
		note(t, l, "last")
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := ids(t, disk.lines()); got != strings.Join(append(want, "last"), " ") {
			t.Errorf("written: %.300s", got)
		}
		if n := len(complaints.lines()); n < 2 || n > 4 {
			t.Errorf("%d complaints: %q", n, complaints.lines())
		}
	})
}

func TestOneClientDoesNotFillTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := &gatedWriter{err: errors.New("no space left")}
		l := audit.To(disk, options(&gatedWriter{}))
		flooder := bound.WithOwner(t.Context(), "192.0.2.1")
		for {
			line, err := l.Take(flooder)
			if err != nil {
				break
			}
			line.Write(&audit.Entry{})
		}
		line, err := l.Take(bound.WithOwner(t.Context(), "192.0.2.2"))
		if err != nil {
			t.Fatalf("another client: %v", err)
		}
		line.Write(&audit.Entry{})
		disk.fail(nil)
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestLogFileIsPrivateAndAppendedTo(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "audit")
	for i, text := range []string{"a", "b"} {
		l, err := audit.Open(name, options(&gatedWriter{}))
		if err != nil {
			t.Fatal(err)
		}
		note(t, l, text)
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v: %v", info.Mode(), err)
		}
		if i == 0 { // A crash has cut a line off.
			file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = file.WriteString(`{"time":"20`)
			file.Close()
		}
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != 3 || lines[1] != `{"time":"20` ||
		ids(t, []string{lines[0], lines[2]}) != "a b" {
		t.Errorf("the file has %q", text)
	}
}

func TestLogThatIsNoRegularFileIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, fifo, filepath.Join(dir, "missing", "audit"), "/dev/null"} {
		if _, err := audit.Open(name, options(&gatedWriter{})); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// The lines before a rotation are in the file that was moved away, and those after it in the new
// one. If the new one cannot be opened, the old one is written on.
func TestLogIsReopened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name, moved := filepath.Join(dir, "audit"), filepath.Join(dir, "audit.1")
	complaints := &gatedWriter{}
	l, err := audit.Open(name, options(complaints))
	if err != nil {
		t.Fatal(err)
	}
	note(t, l, "before")
	awaitText(t, name, "before")
	if err := os.Rename(name, moved); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	for len(complaints.lines()[0]) == 0 {
		time.Sleep(time.Millisecond)
	}
	note(t, l, "between")
	awaitText(t, moved, "between")
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	for len(complaints.lines()) < 2 {
		time.Sleep(time.Millisecond)
	}
	note(t, l, "after")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil || ids(t, []string{strings.TrimSpace(string(text))}) != "after" {
		t.Errorf("the new file has %q: %v", text, err)
	}
}

// awaitText waits until a file has a text.
func awaitText(t *testing.T, name, want string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		text, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(text), want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s has %q: %v", name, text, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// What a client sends cannot end a line, or write into a terminal that shows the log.
func TestLineIsOneLineOfPlainText(t *testing.T) {
	t.Parallel()
	disk := &gatedWriter{}
	l := audit.To(disk, options(&gatedWriter{}))
	const evil = "a\n{\"id\":\"forged\"}\r\x1b[2J\x00\u2028\xff"
	line, err := l.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	line.Write(&audit.Entry{ID: evil, Caller: evil, Key: evil, Filters: []string{evil}})
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines := disk.lines()
	if len(lines) != 1 || strings.ContainsAny(lines[0], "\r\x1b\x00\u2028") {
		t.Errorf("written: %q", lines)
	}
}
