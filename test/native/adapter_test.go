package native

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// An adapter is a running program that carries out commands with a native client, one line each.
type adapter struct {
	t       *testing.T
	client  *client
	in      io.Writer
	answers chan string // closed when the program has ended
}

// startAdapter starts the program of a client, which ends at the end of its input.
func startAdapter(t *testing.T, c *client, natsURL string) *adapter {
	t.Helper()
	cmd := exec.Command(c.command[0], append(c.command[1:], natsURL)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start the adapter of %s (test/native/run builds it): %v", c.name, err)
	}
	a := &adapter{t: t, client: c, in: in, answers: make(chan string)}
	go func() {
		defer close(a.answers)
		for lines := bufio.NewReader(out); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			// async-nats prints lines of its own.
			if line = strings.TrimSuffix(line, "\n"); isAnswer(line) {
				a.answers <- line
			}
		}
	}()
	t.Cleanup(func() {
		in.Close()
		for range a.answers {
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the adapter of %s ended with %v", c.name, err)
		}
	})
	return a
}

// replyKinds are the words with which an answer begins.
var replyKinds = []string{"ok", "missing", "conflict", "end", "timeout", "cannot", "error"}

// A reply is the answer to a command: what kind it is, and the fields behind that word.
type reply struct {
	kind   string // one of replyKinds
	fields []string
}

func (r reply) String() string {
	text := r.kind + " " + strings.Join(r.fields, " ")
	return text[:min(len(text), 300)]
}

// isAnswer reports whether a line begins with the kind of a reply.
func isAnswer(line string) bool {
	kind, _, _ := strings.Cut(line, "\t")
	return slices.Contains(replyKinds, kind)
}

// ask has the program carry out a command. It may be called from any goroutine, but only one at a
// time.
func (a *adapter) ask(command ...string) (reply, error) {
	if _, err := fmt.Fprintln(a.in, strings.Join(command, "\t")); err != nil {
		return reply{}, err
	}
	select {
	case line, ok := <-a.answers:
		if !ok {
			return reply{}, errors.New("the adapter ended")
		}
		fields := strings.Split(line, "\t")
		return reply{fields[0], fields[1:]}, nil
	case <-time.After(2 * patience):
		return reply{}, fmt.Errorf("no answer to %s", command[0])
	}
}

// wantVersion fails the test unless the client has the version of which the README speaks.
func (a *adapter) wantVersion() {
	a.t.Helper()
	got, err := a.ask("client")
	want := reply{"ok", []string{a.client.library, a.client.version}}
	if err != nil || got.String() != want.String() {
		a.t.Fatalf("the client is %v, %v; want %v, for which clients_test.go and README.md say "+
			"what it cannot do", got, err, want)
	}
}

// toHex and fromHex are how values travel.
func toHex(value []byte) string { return hex.EncodeToString(value) }

func fromHex(t *testing.T, text string) []byte {
	t.Helper()
	value, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return value
}
