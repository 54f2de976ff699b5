package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// findNginx returns the path of nginx, empty if it is not installed. Debian's /usr/sbin is not in
// the path of every user.
func findNginx() string {
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// nginxMain is the configuration around the one of deploy/proxies, for a user without privileges.
const nginxMain = `daemon off;
worker_processes 1;
error_log stderr;
pid %[1]s/nginx.pid;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path %[1]s/body;
    proxy_temp_path %[1]s/proxy;
    fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi;
    scgi_temp_path %[1]s/scgi;
    include %[1]s/site.conf;
}
`

var (
	// listenLine is the line of nginx.conf that says where it listens.
	listenLine = regexp.MustCompile(`(?m)^(\s*listen )80;`)
	// upstreamLine is each line that names a gateway. All but the first may be comments.
	upstreamLine = regexp.MustCompile(`(?m)^\s*(# *)?server 127\.0\.0\.1:808\d[^;\n]*;\n`)
)

// site returns a configuration of deploy/proxies that listens on an address in front of gateways.
func site(conf, listen string, gateways []string) (string, error) {
	if len(listenLine.FindAllString(conf, -1)) != 1 || !upstreamLine.MatchString(conf) {
		return "", fmt.Errorf("nginx.conf has not the lines that are replaced: %v, %v",
			listenLine, upstreamLine)
	}
	conf = listenLine.ReplaceAllString(conf, "${1}"+listen+";")
	var upstream strings.Builder
	for _, address := range gateways {
		fmt.Fprintf(&upstream, "    server %s fail_timeout=1s;\n", address)
	}
	first := upstreamLine.FindStringIndex(conf)
	return conf[:first[0]] + upstream.String() +
		upstreamLine.ReplaceAllString(conf[first[1]:], ""), nil
}

// startProxy starts nginx in front of the gateways, with the configuration of deploy/proxies.
func (c *cluster) startProxy(ctx context.Context, o options, p ports) error {
	conf, err := os.ReadFile(filepath.Join(o.root, "deploy", "proxies", "nginx.conf"))
	if err != nil {
		return err
	}
	var upstreams []string
	for _, port := range p.gateway {
		upstreams = append(upstreams, address(port))
	}
	text, err := site(string(conf), address(p.proxy), upstreams)
	if err != nil {
		return err
	}
	dir := filepath.Join(c.dir, "nginx")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, content := range map[string]string{
		"site.conf": text, "nginx.conf": fmt.Sprintf(nginxMain, dir),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	c.proxy, err = c.launch("proxy", "http://"+address(p.proxy), o.nginx,
		"-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return c.proxy.await(ctx, c.proxy.url+"/readyz")
}
