package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// watchSystem is one that streams changes.
type watchSystem struct {
	name      string
	process   *process
	address   string
	pprof     string
	subscribe func(filter int) []byte                    // a request for a stream of that key's events, of all below 0
	publish   func(filter int, s stamp, size int) []byte // a request that stores an event of that size for whoever has that filter
	fill      func(entries int) error                    // stores entries; nil where nothing is stored
	snapshot  func() []byte                              // a request for all that is stored
}

const (
	watchBucket  = "bench"
	watchHistory = 64 // so that no event is overwritten before it is delivered
	valueBytes   = 128
	// spreadKeys is over how many keys the events go that all subscribers get.
	spreadKeys = 64
)

// startWatch starts a system.
func (s *starter) startWatch(ctx context.Context, name string) (*watchSystem, error) {
	switch name {
	case watchFanOut:
		return s.startFanOut(ctx, name)
	case watchFanOutKV:
		return s.startFanOut(ctx, name, "-data-dir", filepath.Join(s.dir, name))
	case watchNchan:
		return s.startNchan(ctx)
	}
	return s.startWatchGateway(ctx, name)
}

func (s *starter) startWatchGateway(ctx context.Context, name string) (*watchSystem, error) {
	sys, err := s.startGateway(ctx, name, "--data-dir", filepath.Join(s.dir, name), "--sync", syncInterval.String())
	if err != nil {
		return nil, err
	}
	p := sys.serving[0]
	base := "/buckets/" + watchBucket
	if err := call(ctx, http.MethodPut, "http://"+p.address+base, fmt.Sprintf(`{"history":%d}`, watchHistory)); err != nil {
		return nil, err
	}
	return &watchSystem{
		name: name, process: p, address: p.address, pprof: s.pprof,
		subscribe: func(filter int) []byte {
			pattern := "k.*"
			if filter >= 0 {
				pattern = fmt.Sprint("k.", filter)
			}
			return streamRequest(p.address, base+"/watch?updates_only=true&filter="+pattern)
		},
		publish: func(filter int, st stamp, size int) []byte {
			return putRequest(p.address, fmt.Sprint(base, "/keys/k.", keyOf(filter, st)), "", stampedValue(st, size))
		},
		fill:     func(entries int) error { return s.fillForSnapshot(p.address, base, entries) },
		snapshot: func() []byte { return streamRequest(p.address, base+"/watch?filter=s.*") },
	}, nil
}

// fillForSnapshot stores entries whose stamps are their numbers.
func (s *starter) fillForSnapshot(address, base string, entries int) error {
	socket, err := dialSocket(address)
	if err != nil {
		return err
	}
	defer closeSocket(socket)
	for i := range entries {
		request := putRequest(address, fmt.Sprint(base, "/keys/s.", i), "", stampedValue(stamp{number: int64(i + 1)}, valueBytes))
		if _, err := exchange(socket, request); err != nil {
			return err
		}
	}
	return nil
}

func (s *starter) startFanOut(ctx context.Context, name string, args ...string) (*watchSystem, error) {
	p, err := s.role(ctx, name, roleFan, append(args, "-pprof", s.pprof)...)
	if err != nil {
		return nil, err
	}
	return &watchSystem{
		name: name, process: p, address: p.address, pprof: s.pprof,
		subscribe: func(filter int) []byte {
			path := "/stream"
			if filter >= 0 {
				path = fmt.Sprint("/stream?key=k.", filter)
			}
			return streamRequest(p.address, path)
		},
		publish: func(filter int, st stamp, size int) []byte {
			return putRequest(p.address, fmt.Sprint("/keys/k.", keyOf(filter, st)), "", eventData(filter, st, size))
		},
	}, nil
}

// keyOf is the key of an event: the filter's own, or one of some that all follow.
func keyOf(filter int, s stamp) int {
	if filter >= 0 {
		return filter
	}
	return int(s.number % spreadKeys)
}

// eventData is what the gateway sends as the data of an event, so that events are of the same size.
func eventData(filter int, s stamp, size int) []byte {
	return fmt.Appendf(nil, `{"bucket":"%s","key":"k.%d","revision":%d,"epoch":"k3f9xq2m","operation":"put","created":"%s","size":%d,"text":"%s"}`,
		watchBucket, keyOf(filter, s), s.number, time.Now().UTC().Format(time.RFC3339Nano), size, stampedValue(s, size))
}

func streamRequest(host, path string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: bench\r\nAccept: text/event-stream\r\n\r\n")
}

// exchange sends a request and reads its answer, which must be a good one.
func exchange(socket int, request []byte) (response, error) {
	if err := writeSocket(socket, request); err != nil {
		return response{}, err
	}
	var arrived []byte
	buffer := make([]byte, 4096)
	for {
		n, err := readSocket(socket, buffer)
		if n <= 0 || err != nil {
			return response{}, fmt.Errorf("no whole answer to %.100q: %w", request, err)
		}
		arrived = append(arrived, buffer[:n]...)
		res, whole, err := parseResponse(arrived)
		if err != nil {
			return res, err
		}
		if whole && res.status/100 != 2 {
			return res, fmt.Errorf("status %d to %.100q: %.300s", res.status, request, res.body)
		}
		if whole {
			return res, nil
		}
	}
}

// nchanModule is where Debian has the module.
const nchanModule = "/usr/lib/nginx/modules/ngx_nchan_module.so"

func nginxFound() bool {
	_, err := exec.LookPath("nginx")
	_, missing := os.Stat(nchanModule)
	return err == nil && missing == nil
}

// nchanConfig is one nginx process: a second would make nchan pass events between them, and cost more.
const nchanConfig = `load_module %[1]s;
daemon off; master_process off; worker_rlimit_nofile 20000;
pid %[2]s/nginx.pid; error_log %[2]s/nginx.err error;
events { worker_connections 18000; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s;
  client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/fastcgi; uwsgi_temp_path %[2]s/uwsgi; scgi_temp_path %[2]s/scgi;
  server {
    listen %[3]s backlog=4096; tcp_nodelay on;
    location ~ ^/publish/(.+)$ { nchan_publisher; nchan_channel_id $1; }
    location ~ ^/stream/(.+)$ { nchan_subscriber eventsource; nchan_channel_id $1; nchan_subscriber_first_message newest; }
  }
}
`

func (s *starter) startNchan(ctx context.Context) (*watchSystem, error) {
	dir := filepath.Join(s.dir, watchNchan)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	listener, err := listenLocally() // for a free port
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	listener.Close()
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nchanConfig, nchanModule, dir, address), 0o600); err != nil {
		return nil, err
	}
	p, err := launch(watchNchan, s.dir, "nginx", "-p", dir, "-e", filepath.Join(dir, "nginx.err"), "-c", file)
	if err != nil {
		return nil, err
	}
	s.stops = append(s.stops, p.stop)
	if err := p.waitForListener(ctx, address); err != nil {
		return nil, err
	}
	channel := func(filter int) string { return fmt.Sprint("k", filter) }
	return &watchSystem{
		name: watchNchan, process: p, address: address,
		subscribe: func(filter int) []byte { return streamRequest(address, "/stream/"+channel(filter)) },
		publish: func(filter int, st stamp, size int) []byte {
			request := putRequest(address, "/publish/"+channel(filter), "", eventData(filter, st, size))
			return slices.Concat([]byte("POST"), bytes.TrimPrefix(request, []byte("PUT")))
		},
	}, nil
}

func (p *process) waitForListener(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("tcp4", address); err == nil {
			return conn.Close()
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended at its start: %s", p.name, p.lastOutput())
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen: %w: %s", p.name, ctx.Err(), p.lastOutput())
		case <-tick.C:
		}
	}
}
