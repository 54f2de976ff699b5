// Command live-dashboard serves a page that shows a bucket live, and passes everything else on to
// the gateway. So the page and the gateway have one origin, and no CORS is needed.
//
//	go run ./examples/live-dashboard -gateway http://127.0.0.1:8080 -listen 127.0.0.1:8090
package main

import (
	"bytes"
	"embed"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	js "kvgateway/clients/js"
)

// files are the page and what it loads, beside the client of clients/js.
//
//go:embed index.html page.js style.css values.js
var files embed.FS

func main() {
	listen := flag.String("listen", "127.0.0.1:8090",
		"the address to listen on; there is no authentication, so keep it on loopback")
	gateway := flag.String("gateway", "http://127.0.0.1:8080", "the URL of the gateway")
	flag.Parse()
	if err := serve(*listen, *gateway); err != nil {
		log.Fatal("live-dashboard: ", err)
	}
}

func serve(listen, gateway string) error {
	target, err := url.Parse(gateway)
	if err != nil {
		return err
	}
	if target.Host == "" {
		return errors.New("-gateway must be a URL such as http://127.0.0.1:8080")
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	log.Printf("http://%s", listener.Addr())
	server := &http.Server{Handler: handler(target), ReadHeaderTimeout: 10 * time.Second}
	return server.Serve(listener)
}

// handler routes requests without a ServeMux, which would clean the paths of keys such as "a//b",
// and redirect.
func handler(gateway *url.URL) http.Handler {
	proxy := proxyTo(gateway)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.EscapedPath(); {
		case path == "/", path == "/page.js", path == "/style.css", path == "/values.js":
			servePage(w, r)
		case path == "/clients/js/"+js.Name:
			w.Header().Set("Cache-Control", "no-cache")
			http.ServeContent(w, r, js.Name, time.Time{}, bytes.NewReader(js.Client))
		case path == "/buckets", path == "/watch", strings.HasPrefix(path, "/buckets/"):
			proxy.ServeHTTP(w, r)
		default:
			http.NotFound(w, r)
		}
	})
}

func servePage(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy",
		"default-src 'self'; img-src data:; frame-ancestors 'none'")
	http.FileServerFS(files).ServeHTTP(w, r)
}

// proxyTo passes requests on as they came. Host stays the same, since the gateway compares it with
// the Origin of a page to recognise its own pages. Every block of a stream is flushed as it comes.
func proxyTo(gateway *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(gateway)
			r.Out.Host = r.In.Host
		},
	}
}
