package identity

import (
	"context"
	"errors"
	"sync"
	"time"

	"kvgateway/internal/auth"
	"kvgateway/internal/kvclient"
)

// checkedFor is how long it is believed that the server checks credentials, or does not.
const checkedFor = 10 * time.Second

// checks knows whether a server that does not ask for credentials checks those that it is shown. It
// does if it lets anonymous users in as one of its users (no_auth_user), and does not if it has no
// users.
type checks struct {
	// mu guards the fields below. It is held while the server is asked, so that it is asked once.
	mu sync.Mutex
	// until is until when err is believed.
	until time.Time
	// err is an *[auth.Refusal] if the server checks nothing, and nil if it does.
	err error
}

// check returns an *[auth.Refusal] if the server accepts any credential, and [kv.ErrUnavailable] if
// that cannot be found out.
func (c *checks) check(
	ctx context.Context, client *kvclient.Client, others *kvclient.Others,
) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.until) {
		return c.err
	}
	err := client.ChecksCredentials(ctx, others)
	if errors.Is(err, kvclient.ErrUnchecked) {
		err = &auth.Refusal{Invalid: true, Detail: "The NATS server of this gateway takes any " +
			"credential, so none says who you are. Its administrator must give it users, or take " +
			"the section nats out of the auth file."}
	} else if err != nil {
		return err
	}
	c.err, c.until = err, time.Now().Add(checkedFor)
	return err
}
