package kvclient

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient/link"
)

// A User is another NATS identity than that of the gateway: a user and a password, or a token.
type User struct {
	// Name and Password are those of the user; both "" if there is a token.
	Name, Password string
	// Token is the token; "" if there is a user.
	Token string
}

var (
	// ErrWrongCredential says that NATS does not accept a credential.
	ErrWrongCredential = errors.New("NATS does not accept the credential")
	// ErrUnchecked says that NATS accepts whatever credential it is given, so that none says
	// anything.
	ErrUnchecked = errors.New("NATS does not check credentials")
	// ErrNotPassable says that the way in which the gateway reaches NATS leaves no room for the
	// credential of somebody else.
	ErrNotPassable = errors.New("credentials cannot be passed through to NATS")
)

// CanBeOthers returns nil if clients of other identities can be made with [Client.As], and else
// what [CheckPassing] returns.
func (c *Client) CanBeOthers() error {
	return CheckPassing(c.options.InProcess != nil, c.options.TLSCert != "")
}

// CheckPassing returns nil if the credentials of others can be passed through to NATS, and else an
// [ErrNotPassable] that says why not, for a server that is embedded or not, and a client that has a
// certificate of its own for it or not.
//
// An embedded server has no users. With a client certificate a server that maps certificates to
// users takes the gateway's for the caller's, whatever the password (nats-server, auth.go:
// verify_and_map).
func CheckPassing(isEmbedded, hasCertificate bool) error {
	switch {
	case isEmbedded:
		return fmt.Errorf("%w: the embedded NATS has no users; name a NATS server that has some "+
			"with --nats-url", ErrNotPassable)
	case hasCertificate:
		return fmt.Errorf("%w: the gateway has a client certificate for NATS, which NATS may take "+
			"for that of every caller; leave --nats-tls-cert out", ErrNotPassable)
	}
	return nil
}

// The bounds of all clients of other identities together. A server drops a connection that has 64
// MiB of answers unread. One identity that has come to that from several addresses loses its own
// connection, and no other one.
const (
	// othersAnswerBytes is how many bytes of answers may be under way to them.
	othersAnswerBytes = 96 << 20
	// othersFeedBytes is how many bytes the server may send their feeds ahead.
	othersFeedBytes = OthersFeeds * tailLeast
	// OthersFeeds is how many feeds they can have.
	OthersFeeds = 2048
)

// Others are the bounds that the clients of other identities share.
type Others struct {
	// limits are the client's own, except for those of answers and feeds.
	limits *limits
}

// NewOthers makes the bounds that the clients of [Client.As] share.
func (c *Client) NewOthers() *Others {
	own := *c.limits
	answers := link.AnswersSpec("passed-answers",
		"answers under way on the NATS connections of callers whose credential is passed through",
		othersAnswerBytes, c.timeout/5*4)
	answers.PerOwner = othersAnswerBytes / 2
	own.reads = own.set.New(answers)
	own.writes, own.bulk = own.reads, own.reads
	own.feeds = own.set.New(link.AnswersSpec("passed-changes",
		"changes that NATS may send ahead on the same connections, for feeds", othersFeedBytes,
		c.timeout/5*4))
	return &Others{limits: &own}
}

// As returns a client of another identity, which reaches the same server in the same way. It has
// one connection, and shares with this client and with the others whatever bounds what requests
// take; it shares nothing that is remembered of buckets.
//
// The server must accept the credential at once: the errors are [ErrWrongCredential] and
// [kv.ErrUnavailable], and for an inbox that the user may not listen to a *[kv.DeniedError]. When
// the server does not accept the credential any more, or has moved its user to another account,
// revoked is called once and the client has ended; it must be closed in any case.
func (c *Client) As(
	ctx context.Context, user User, others *Others, revoked func(error),
) (*Client, error) {
	if err := c.CanBeOthers(); err != nil {
		return nil, err
	}
	options := c.options
	options.CredsFile, options.NKeyFile = "", ""
	options.User, options.Password, options.Token = user.Name, user.Password, user.Token
	options.URL = withoutUsers(options.URL)
	dial, err := options.natsOptions()
	if err != nil {
		return nil, err
	}
	other := &Client{
		options:     options,
		apiPrefix:   c.apiPrefix,
		inboxPrefix: c.inboxPrefix,
		timeout:     c.timeout,
		logger:      c.logger,
		limits:      others.limits,
		buckets:     make(map[kv.BucketName]*binding),
		noWaits:     c.noWaits,
		sizes:       c.sizes.beside(),
		pace:        c.pace,
		waiting:     c.waiting,
		lanes:       c.lanes.beside(),
	}
	l := link.New(link.Options{
		Name:      "passed",
		URL:       options.URL,
		Dial:      append([]nats.Option{nats.Name(options.Name + " (passed)")}, dial...),
		Timeout:   c.timeout,
		Answers:   others.limits.reads,
		OnGap:     other.reconnected,
		OnDenied:  other.denied,
		OnRefused: revoked,
		Logger:    c.logger,
	})
	other.reads, other.writes, other.bulk, other.feeds = l, l, l, l
	if err := l.Open(); err != nil {
		if link.IsRefusal(err) {
			return nil, ErrWrongCredential
		}
		return nil, fmt.Errorf("%w: %w", kv.ErrUnavailable, err)
	}
	if err := l.CheckInbox(ctx); err != nil {
		l.Close(ctx)
		return nil, err
	}
	account := other.Account()
	other.account.Store(&account)
	return other, nil
}

// reconnected runs when the connection of a client of another identity is back. Those that listen
// to it may have missed advisories, and it may have missed entries.
func (c *Client) reconnected() {
	go c.endIfMoved()
	c.forgetAll()
	own := c.own.Load()
	if own != nil {
		own.reconnected()
	}
	if c.announcer.Load() != own || own == nil {
		c.hear(Advisory{Kind: Reconnected})
	}
}

// errMoved says that a user of NATS is in another account than before.
var errMoved = errors.New("the user was moved to another account")

// endIfMoved ends the client of another identity if the server has bound its new connection to
// another account: what it remembers, and who listens to it, are of the one before. The server
// tells the account after it has accepted the credential, and before it answers anything. If the
// connection is lost meanwhile, the next one is looked at.
func (c *Client) endIfMoved() {
	before, nc := c.account.Load(), c.reads.Conn()
	if before == nil || nc.FlushTimeout(c.timeout) != nil {
		return
	}
	if c.Account() != *before && nc.IsConnected() { // It tells none while it is not.
		c.reads.Refuse(errMoved)
	}
}

// denialPause is how long denials are gathered before they are reported. A user can make NATS deny
// something thousands of times in a second, and each report makes its feeds ask their streams.
const denialPause = 250 * time.Millisecond

// denied runs when NATS denies something to a client of another identity.
func (c *Client) denied() {
	if !c.denialDue.CompareAndSwap(false, true) {
		return
	}
	time.AfterFunc(denialPause, func() {
		c.denialDue.Store(false)
		c.hear(Advisory{Kind: SomethingDenied})
	})
}

// isDenied reports whether an error is a *[kv.DeniedError].
func isDenied(err error) bool {
	_, denied := errors.AsType[*kv.DeniedError](err)
	return denied
}

// withoutUsers takes the users and passwords out of the URLs of servers: nats.go would use them in
// the place of the credential of somebody else.
func withoutUsers(servers string) string {
	list := strings.Split(servers, ",")
	for i, server := range list {
		server = strings.TrimSpace(server)
		if u, err := url.Parse(server); err == nil && u.User != nil {
			u.User = nil
			server = u.String()
		} else if at := strings.LastIndexByte(server, '@'); at >= 0 {
			server = server[at+1:] // without a scheme, as in user:password@host:4222
		}
		list[i] = server
	}
	return strings.Join(list, ",")
}

// AsksForCredentials reports whether the server that the client is connected to asks for
// credentials. One that does not may check those that it is shown all the same.
func (c *Client) AsksForCredentials() bool { return c.reads.Conn().AuthRequired() }

// ChecksCredentials asks the server about a credential that nobody has. It returns nil if the
// server refuses it, and [ErrUnchecked] if the server accepts it: then no credential that is passed
// through says who comes.
func (c *Client) ChecksCredentials(ctx context.Context, others *Others) error {
	stranger := User{Name: "kvgw-nobody-" + nuid.Next(), Password: nuid.Next()}
	client, err := c.As(ctx, stranger, others, func(error) {})
	switch {
	case errors.Is(err, ErrWrongCredential):
		return nil
	case err == nil:
		client.Close(ctx)
		return ErrUnchecked
	case isDenied(err):
		return ErrUnchecked
	}
	return err
}
