package main

import (
	"errors"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// syncInterval is how often every NATS server here syncs its files, the gateway's embedded one included.
const syncInterval = 100 * time.Millisecond

// natsRole is the server that the gateway with an external NATS talks to.
func natsRole(o roleOptions) error {
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

// startNATS runs a nats-server in this process, with file storage, and a listener on 127.0.0.1 if asked for.
func startNATS(dataDir string, listen bool) (*server.Server, error) {
	natsServer, err := server.NewServer(&server.Options{
		JetStream: true, StoreDir: dataDir, SyncInterval: syncInterval,
		Host: "127.0.0.1", Port: server.RANDOM_PORT, DontListen: !listen, NoLog: true, NoSigs: true,
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
