package roles

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"kvgateway/bench/load"
)

// nchanModule is where Debian has the module.
const nchanModule = "/usr/lib/nginx/modules/ngx_nchan_module.so"

// NchanFound reports whether nginx and its module are installed.
func NchanFound() bool {
	_, err := exec.LookPath("nginx")
	_, missing := os.Stat(nchanModule)
	return err == nil && missing == nil
}

// nchanConfig configures one nginx process. With a second one nchan would pass events between them,
// and cost more.
const nchanConfig = `load_module %[1]s;
daemon off; master_process off; worker_rlimit_nofile 20000;
pid %[2]s/nginx.pid; error_log %[2]s/nginx.err error;
events { worker_connections 18000; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s;
  client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy;
  fastcgi_temp_path %[2]s/fastcgi; uwsgi_temp_path %[2]s/uwsgi; scgi_temp_path %[2]s/scgi;
  server {
    listen %[3]s backlog=4096; tcp_nodelay on;
    location ~ ^/publish/(.+)$ { nchan_publisher; nchan_channel_id $1; }
    location ~ ^/stream/(.+)$ {
      nchan_subscriber eventsource; nchan_channel_id $1; nchan_subscriber_first_message newest;
    }
  }
}
`

func (s *Starter) startNchan(ctx context.Context) (*StreamSystem, error) {
	dir := filepath.Join(s.Dir, Nchan)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	address, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "nginx.conf")
	config := fmt.Appendf(nil, nchanConfig, nchanModule, dir, address)
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, err
	}
	p, err := launch(Nchan, s.Dir, "nginx", "-p", dir,
		"-e", filepath.Join(dir, "nginx.err"), "-c", file)
	if err != nil {
		return nil, err
	}
	s.stops = append(s.stops, p.Stop)
	ready := func() bool { return accepts(address) }
	if err := p.until(ctx, "does not listen", ready); err != nil {
		return nil, err
	}
	channel := func(filter int) string { return fmt.Sprint("k", filter) }
	return &StreamSystem{
		Name: Nchan, Process: p,
		Streams: load.Streams{
			Address: address,
			Subscribe: func(filter int) []byte {
				return load.StreamRequest(address, "/stream/"+channel(filter))
			},
			Publish: func(filter int, st load.Stamp, size int) []byte {
				put := load.PutRequest(address, "/publish/"+channel(filter), "",
					eventData(filter, st, size))
				return slices.Concat([]byte("POST"), bytes.TrimPrefix(put, []byte("PUT")))
			},
		},
	}, nil
}
