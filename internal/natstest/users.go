package natstest

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// A User is a user of a server. Its password is its name.
type User struct {
	// Name is the name of the user, and Account that of its account.
	Name, Account string
	// Permissions are what the user may publish and subscribe to; nil for everything.
	Permissions *server.Permissions
}

// gatewayUser is the user of the gateway itself.
var gatewayUser = User{Name: "gateway", Account: "own"}

// WithUsers configures a server with users, and with the gateway's own user "gateway" in the
// account "own". The accounts have no JetStream before [Server.EnableJetStream].
func WithUsers(users ...User) func(*server.Options) {
	return func(o *server.Options) {
		o.Accounts, o.Users = nil, nil
		accounts := make(map[string]*server.Account)
		for _, u := range append([]User{gatewayUser}, users...) {
			if accounts[u.Account] == nil {
				accounts[u.Account] = server.NewAccount(u.Account)
				o.Accounts = append(o.Accounts, accounts[u.Account])
			}
			o.Users = append(o.Users, &server.User{
				Username: u.Name, Password: u.Name, Account: accounts[u.Account],
				Permissions: u.Permissions,
			})
		}
	}
}

// StartWithUsers starts a server with users, whose accounts have JetStream.
func StartWithUsers(tb testing.TB, users ...User) *Server {
	tb.Helper()
	s := Start(tb, Options{Configure: WithUsers(users...)})
	s.EnableJetStream(users...)
	return s
}

// EnableJetStream lets the accounts of users, and that of the gateway, use JetStream. Accounts of
// options lose it with each start and reload.
func (s *Server) EnableJetStream(users ...User) {
	s.tb.Helper()
	for _, u := range append([]User{gatewayUser}, users...) {
		a, err := s.NATS().LookupAccount(u.Account)
		if err == nil && !a.JetStreamEnabled() {
			err = a.EnableJetStream(nil, nil)
		}
		if err != nil {
			s.tb.Fatalf("account %s: %v", u.Account, err)
		}
	}
}

// ChangePassword gives one of the users another password, while the server runs.
func (s *Server) ChangePassword(name string, users ...User) {
	s.tb.Helper()
	s.Reload(func(o *server.Options) {
		WithUsers(users...)(o)
		for _, u := range o.Users {
			if u.Username == name {
				u.Password = "another"
			}
		}
	})
	s.EnableJetStream(users...)
}
