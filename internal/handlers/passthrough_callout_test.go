package handlers_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"kvgateway/internal/natstest"
)

// calloutUsers are those of a server with an auth callout: one who asks it, and one who may use the
// account A without being asked about.
var calloutUsers = []natsUser{{Name: "callout", Account: "callout"}, {Name: "maker", Account: "A"}}

// startCallout runs a nats-server that asks a service about all users but its own. The service
// accepts any name whose password is "good-" and something more, in the account A.
func startCallout(t *testing.T) *natstest.Server {
	t.Helper()
	issuer, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	public, err := issuer.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	s := natstest.Start(t, natstest.Options{Configure: func(o *server.Options) {
		natstest.WithUsers(calloutUsers...)(o)
		o.AuthCallout = &server.AuthCallout{Issuer: public, Account: "callout",
			AuthUsers: []string{"callout", "gateway", "maker"}}
	}})
	s.EnableJetStream(calloutUsers...)
	nc := s.Conn(t, natsgo.UserInfo("callout", "callout"))
	_, err = nc.Subscribe("$SYS.REQ.USER.AUTH", func(msg *natsgo.Msg) {
		answer, err := answerCallout(string(msg.Data), issuer)
		if err == nil {
			err = msg.Respond([]byte(answer))
		}
		if err != nil {
			t.Error(err)
		}
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// answerCallout returns what the service answers to a question of the server.
func answerCallout(question string, issuer nkeys.KeyPair) (string, error) {
	asked, err := jwt.DecodeAuthorizationRequestClaims(question)
	if err != nil {
		return "", err
	}
	answer := jwt.NewAuthorizationResponseClaims(asked.UserNkey)
	answer.Audience = asked.Server.ID
	if !strings.HasPrefix(asked.ConnectOptions.Password, "good-") {
		answer.Error = "unknown"
		return answer.Encode(issuer)
	}
	user := jwt.NewUserClaims(asked.UserNkey)
	user.Name, user.Audience = asked.ConnectOptions.Username, "A"
	if answer.Jwt, err = user.Encode(issuer); err != nil {
		return "", err
	}
	return answer.Encode(issuer)
}

// basic is the header with a user and a password.
func basic(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// Two users who call themselves the same have idempotency keys of their own, which each has at
// every gateway with the same keys.
func TestPassedThroughUsersOfOneNameHaveTheirOwnIdempotencyKeys(t *testing.T) {
	t.Parallel()
	s := startCallout(t)
	key := []byte(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32))))
	shareKey := func(u *setup) {
		if err := u.handlers.Gate.TicketKeys().Set(key); err != nil {
			t.Fatal(err)
		}
	}
	g, beside := startBefore(t, s, shareKey), startBefore(t, s, shareKey)
	bucketAs(t, s, "maker", "shop")
	put := func(at *gateway, password, value string) *answer {
		return at.do(t, "PUT", "/buckets/shop/keys/a", value, "Idempotency-Key: k",
			basic("ann", password))
	}
	first := put(g, "good-1", "1").is(t, 200).revision(t)
	put(g, "bad", "1").problem(t, 401, "unauthenticated")
	other := put(g, "good-2", "1").is(t, 200).revision(t)
	if other == first {
		t.Error("the write of one user is taken for that of another one of the same name")
	}
	for _, at := range []*gateway{g, beside} {
		for password, revision := range map[string]uint64{"good-1": first, "good-2": other} {
			if again := put(at, password, "1").is(t, 200).revision(t); again != revision {
				t.Errorf("%s: the retry has revision %d, not %d", password, again, revision)
			}
		}
	}
}
