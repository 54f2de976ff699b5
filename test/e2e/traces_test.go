package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Tools that rotate logs move the file away and send SIGHUP. No line is lost or torn by that, and
// none is left out at the end of the process.
func TestAuditLogIsRotated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "audit")
	g := start(t, "--data-dir="+dir, "--audit-log="+name)
	g.want(201, "PUT", "/buckets/shop", "")
	keys := 0
	put := func() {
		keys++
		g.want(200, "PUT", fmt.Sprintf("/buckets/shop/keys/k%d", keys), "v")
	}
	for rotation := range 3 {
		put()
		moved := fmt.Sprintf("%s.%d", name, rotation)
		if err := os.Rename(name, moved); err != nil {
			t.Fatal(err)
		}
		put() // This line is still for the file that was moved.
		g.signal(syscall.SIGHUP)
		eventually(t, "the file to be opened anew", func() error {
			_, err := os.Stat(name)
			return err
		})
	}
	put()
	if code := g.stop(syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	var names []string
	for _, part := range []string{".0", ".1", ".2", ""} {
		text, err := os.ReadFile(name + part)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var entry struct{ Action, Key, Outcome string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Outcome != "done" {
				t.Errorf("%q: %v", line, err)
			}
			if entry.Action == "put" {
				names = append(names, entry.Key)
			}
		}
	}
	if got, want := strings.Join(names, " "), "k1 k2 k3 k4 k5 k6 k7"; got != want {
		t.Errorf("the log has %s, want %s", got, want)
	}
}

// Gateways with the same file take each other's tickets, also when its keys are replaced while they
// run. A file with a mistake changes nothing.
func TestTicketKeyIsSharedAndReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "keys")
	key := func(letter string) string {
		return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, 32))) + "\n"
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(key("a"))
	here := start(t, "--data-dir="+filepath.Join(dir, "1"), "--ticket-key="+name)
	there := start(t, "--data-dir="+filepath.Join(dir, "2"), "--ticket-key="+name)
	other := start(t, "--data-dir="+filepath.Join(dir, "3"))
	for _, g := range []*gateway{here, there, other} {
		g.want(201, "PUT", "/buckets/shop", "")
	}
	ticket := func() string {
		t.Helper()
		var made struct{ Ticket string }
		body := here.want(200, "POST", "/tickets", `{"watch":["shop"]}`)
		if err := json.Unmarshal([]byte(body), &made); err != nil || made.Ticket == "" {
			t.Fatalf("%s: %v", body, err)
		}
		return made.Ticket
	}
	// A stream that is refused for its heartbeat was not refused for its ticket.
	takes := func(g *gateway, ticket string) bool {
		t.Helper()
		a, err := g.do("GET", "/buckets/shop/watch?heartbeat=0s&ticket="+ticket, "")
		if err != nil || a.status != 400 && a.status != 401 {
			t.Fatalf("status %d: %v", a.status, err)
		}
		return a.status == 400
	}
	first := ticket()
	if !takes(here, first) || !takes(there, first) || takes(other, first) {
		t.Error("a ticket is not good on the gateways with its key, and on no other")
	}
	write("mistake")
	eventually(t, "the mistake to be logged", func() error {
		const mistake = "--ticket-key was not taken: the keys before stay in force"
		if _, ok := here.logged(mistake); !ok {
			return fmt.Errorf("the log does not have it")
		}
		return nil
	})
	if !takes(here, first) {
		t.Error("a mistake in the file has ended tickets")
	}
	write(key("b"))
	eventually(t, "the new key to be in force", func() error {
		if takes(here, first) || takes(there, first) {
			return fmt.Errorf("the old ticket is good")
		}
		return nil
	})
	if !takes(there, ticket()) {
		t.Error("a ticket of the new key is not good")
	}
}
