package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
	"kvgateway/internal/feed"
	"kvgateway/internal/identity"
	"kvgateway/internal/kvclient"
)

// newIdentities returns the NATS identities of callers whose credential is passed through; nil if
// there can be none, which is an error if the auth file asks for them. Nothing is connected before
// a caller comes. How many there may be, and for how long, is what the file in force says.
func newIdentities(
	gate *auth.Gate, client *kvclient.Client, feeds *feed.Hub, bounds *bound.Set,
	log zerolog.Logger,
) (*identity.Pool, error) {
	if gate == nil {
		return nil, nil
	}
	settings := gate.NATS()
	pool, err := identity.NewPool(identity.Options{
		Client: client, Feeds: feeds, Revoked: gate.RevokeNATS, Failed: gate.NATSFailed,
		Bounds: bounds, Logger: log,
		MaxConnections: settings.MaxConnections, Idle: settings.Idle,
	})
	switch {
	case err == nil:
		gate.FollowNATS(func(s auth.NATSSettings) { pool.Configure(s.MaxConnections, s.Idle) })
		return pool, nil
	case !settings.Enabled && errors.Is(err, kvclient.ErrNotPassable):
		return nil, nil // checkPassing keeps the section out of the file from now on
	}
	return nil, fmt.Errorf("--auth-file, section nats: %w", err)
}

// checkPassing returns an error if a policy passes credentials of NATS through, and these settings
// do not allow that.
func (c *config) checkPassing(policy *auth.Policy) error {
	if !policy.NATS().Enabled {
		return nil
	}
	if err := kvclient.CheckPassing(c.NatsURL == "", c.NatsTLSCert != ""); err != nil {
		return fmt.Errorf("section nats: %w, or take enabled out of the section", err)
	}
	return nil
}

// closeIdentities closes the connections of callers. It bounds the wait, since no request runs that
// could need them.
func closeIdentities(pool *identity.Pool) {
	if pool == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	pool.Close(ctx)
}

// endStreams ends all streams, for which http.Server.Shutdown would wait for ever.
func endStreams(feeds *feed.Hub, identities *identity.Pool) {
	feeds.EndSubscriptions()
	if identities != nil {
		identities.EndSubscriptions()
	}
}
