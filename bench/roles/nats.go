package roles

import (
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// SyncInterval is how often every NATS server here syncs its files, the gateway's embedded one
// included.
const SyncInterval = 100 * time.Millisecond

// ownUser is the user of whoever shows no credential to a nats-server that has users.
const ownUser = "own"

// natsRole runs the server that systems with an external NATS use. With o.user it checks the
// credentials that it is shown, and knows this one. Whoever shows none is another user of the same
// account.
func natsRole(o options) error {
	settings := natsSettings(o.dataDir)
	if name, password, found := strings.Cut(o.user, ":"); found {
		settings.Users = []*server.User{
			{Username: ownUser, Password: rand.Text()}, {Username: name, Password: password},
		}
		settings.NoAuthUser = ownUser
	}
	natsServer, err := runNATS(settings)
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
	settings := natsSettings(dataDir)
	settings.DontListen = !listen
	return runNATS(settings)
}

// natsSettings returns the settings of a nats-server with file storage, and with a listener on
// 127.0.0.1.
func natsSettings(dataDir string) *server.Options {
	return &server.Options{
		JetStream: true, StoreDir: dataDir, SyncInterval: SyncInterval,
		Host: "127.0.0.1", Port: server.RANDOM_PORT,
		NoLog: true, NoSigs: true,
	}
}

// runNATS runs a nats-server in this process, and waits until it is ready.
func runNATS(settings *server.Options) (*server.Server, error) {
	natsServer, err := server.NewServer(settings)
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
