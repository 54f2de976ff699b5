//go:build linux

package sse

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Over HTTP/2 the bound of a write ends the stream also when nothing is being written. A stream that says nothing for longer than a
// write may take goes on all the same.
func TestQuietStreamOutlivesTheBoundOfAWrite(t *testing.T) {
	t.Parallel()
	const patience, heartbeat = 100 * time.Millisecond, 400 * time.Millisecond
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		newStream(w, patience).Run(r.Context(), &script{}, make(chan struct{}, 1), Pace{Heartbeat: heartbeat, Age: time.Hour})
	}))
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server.Config.Protocols = &protocols
	server.Start()
	defer server.Close()
	for name, clients := range map[string]func(*http.Protocols){
		"HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) },
		"HTTP/2":   func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		t.Run(name, func(t *testing.T) {
			var protocols http.Protocols
			clients(&protocols)
			client := &http.Client{Transport: &http.Transport{Protocols: &protocols}, Timeout: soon}
			response, err := client.Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			const want = "begin\nbeat\nbeat\n"
			got := make([]byte, len(want))
			if n, err := io.ReadFull(response.Body, got); err != nil || string(got) != want {
				t.Errorf("read %q, %v", got[:n], err)
			}
		})
	}
}
