package native

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait for something that must come.
const patience = 30 * time.Second

// A gateway is a running process with an embedded NATS that native clients can reach.
type gateway struct{ url, natsURL string }

// startGateway starts the built gateway on free ports of loopback and waits until it listens.
func startGateway(t *testing.T) *gateway {
	t.Helper()
	cmd := exec.Command(*gatewayPath, "serve", "--listen=127.0.0.1:0", "--data-dir="+t.TempDir(),
		"--embedded-listen=127.0.0.1:0", "--log-format=json")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start the gateway (make build): %v", err)
	}
	listening := make(chan *gateway, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			var line struct {
				Message, URL string
				NATSURL      string `json:"nats_url"`
			}
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "listening" {
				listening <- &gateway{line.URL, line.NATSURL}
			}
		}
	}()
	t.Cleanup(func() {
		// How it stops when asked is what test/e2e tests.
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait()
	})
	select {
	case g := <-listening:
		return g
	case <-ended:
		t.Fatal("the gateway ended before it listened")
	case <-time.After(patience):
		t.Fatal("the gateway does not listen")
	}
	return nil
}

// An answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// header is a name and a value, one after the other, of a request.
type header []string

// do sends a request. It may be called from any goroutine.
func (g *gateway) do(method, path string, body []byte, headers header) (answer, error) {
	req, err := http.NewRequest(method, g.url+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if !strings.Contains(path, "/keys/") && len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, content}, err
}
