package natsd

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// noOrigin stands in the list of allowed origins if there is none, since the server takes an empty
// list for "any origin". No page can come from it: RFC 6761 reserves .invalid. The server's own
// check that the origin is the same as the host is not used: a page whose host name is made to
// point to this machine would pass it.
const noOrigin = "https://no-origin.invalid"

// serverOptions returns the options of the nats-server.
func serverOptions(dir string, opts Options) (*server.Options, error) {
	nopts := &server.Options{
		ServerName:             "kvgw-embedded",
		JetStream:              true,
		StoreDir:               dir,
		JetStreamMaxMemory:     opts.MemoryBytes,
		SyncAlways:             opts.SyncAlways,
		SyncInterval:           opts.serverInterval(),
		DontListen:             opts.Listen == "",
		NoSigs:                 true, // cmd/gateway handles the signals
		DisableJetStreamBanner: true,
	}
	if opts.Clients != nil && (opts.Listen != "" || opts.WSListen != "") {
		nopts.MaxConn = int(opts.Clients.Limit())
	}
	var err error
	if opts.Listen != "" {
		if nopts.Host, nopts.Port, err = splitAddress(opts.Listen); err != nil {
			return nil, err
		}
	}
	if opts.WSListen != "" {
		nopts.Websocket, err = webSocketOptions(opts)
	}
	return nopts, err
}

// webSocketOptions returns the options of the WebSocket listener.
func webSocketOptions(opts Options) (ws server.WebsocketOpts, err error) {
	ws.NoTLS = true
	ws.AllowedOrigins = opts.WSOrigins
	if len(ws.AllowedOrigins) == 0 {
		ws.AllowedOrigins = []string{noOrigin}
	}
	ws.Host, ws.Port, err = splitAddress(opts.WSListen)
	return ws, err
}

// splitAddress splits the address of a listener, as the server wants it.
func splitAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("listen address %q: %w", address, err)
	}
	if port, err = strconv.Atoi(text); err != nil {
		return "", 0, fmt.Errorf("listen address %q: port %q is not a number", address, text)
	}
	if port == 0 {
		port = server.RANDOM_PORT // 0 would be the default port, or no listener
	}
	return host, port, nil
}

// keepPorts puts the ports that a server has taken into the options, so that it listens on the same
// ones if it is started again.
func (o *Options) keepPorts(ns *server.Server) {
	if addr := ns.Addr(); addr != nil {
		o.Listen = addr.String()
	}
	if o.WSListen != "" {
		o.WSListen = strings.TrimPrefix(ns.WebsocketURL(), "ws://")
	}
}

// ClientURL returns the address of the listener, with the port that was taken. It is empty if there
// is no listener.
func (s *Server) ClientURL() string {
	addr := s.instance().ns.Addr()
	if addr == nil {
		return ""
	}
	return "nats://" + addr.String()
}

// WebSocketURL returns the address of the WebSocket listener, with the port that was taken. It is
// empty if there is no such listener.
func (s *Server) WebSocketURL() string {
	if s.opts.WSListen == "" {
		return ""
	}
	return "ws://" + s.opts.WSListen
}
