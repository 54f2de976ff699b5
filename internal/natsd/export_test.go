package natsd

import "github.com/nats-io/nats-server/v2/server"

// JetStreamConfig returns the settings that are in force in the server.
func (s *Server) JetStreamConfig() *server.JetStreamConfig {
	return s.instance().ns.JetStreamConfig()
}
