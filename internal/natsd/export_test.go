package natsd

import "github.com/nats-io/nats-server/v2/server"

// JetStreamConfig is what the server says about itself.
func (s *Server) JetStreamConfig() *server.JetStreamConfig { return s.instance().ns.JetStreamConfig() }
