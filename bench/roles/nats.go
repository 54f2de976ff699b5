package roles

import (
	"errors"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// SyncInterval is how often every NATS server here syncs its files, the gateway's embedded one
// included.
const SyncInterval = 100 * time.Millisecond

// natsRole runs the server that systems with an external NATS use.
func natsRole(o options) error {
	natsServer, err := startNATS(o.dataDir, true)
	if err != nil {
		return err
	}
	announce(natsServer.Addr().String())
	untilStopped()
	natsServer.Shutdown()
	natsServer.WaitForShutdown()
	return nil
}

// startNATS runs a nats-server in this process, with file storage, and with a listener on 127.0.0.1
// if listen is set.
func startNATS(dataDir string, listen bool) (*server.Server, error) {
	natsServer, err := server.NewServer(&server.Options{
		JetStream: true, StoreDir: dataDir, SyncInterval: SyncInterval,
		Host: "127.0.0.1", Port: server.RANDOM_PORT, DontListen: !listen,
		NoLog: true, NoSigs: true,
	})
	if err != nil {
		return nil, err
	}
	natsServer.Start()
	if !natsServer.ReadyForConnections(startTimeout) {
		natsServer.Shutdown()
		return nil, errors.New("the nats-server did not become ready")
	}
	return natsServer, nil
}
