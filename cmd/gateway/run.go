package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
	"kvgateway/internal/feed"
	"kvgateway/internal/handlers"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natsd"
)

// run is the whole program. It ends when its work is done or, serving, some time after ctx is.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cmd, name, err := parse(args, stdout)
	switch {
	case errors.Is(err, errHelpShown):
		return nil
	case err != nil:
		return err
	case name == "version":
		return printVersion(stdout)
	case name == "healthcheck":
		return healthcheck(ctx, cmd, stdout)
	}
	log, buffer := newLogger(&cmd.config, stderr)
	defer buffer.direct()
	context.AfterFunc(ctx, buffer.direct) // a second signal leaves no time to write anything
	keepHeapFloor(ctx)
	return serve(ctx, &cmd.config, stdout, stderr, log)
}

// serve builds the gateway from the inside out and takes it down from the outside in. What is deferred here runs last,
// in the opposite order: the connections to NATS are closed, then the embedded server stops.
func serve(
	ctx context.Context, c *config, stdout, stderr io.Writer, log zerolog.Logger,
) (end error) {
	lastResort := time.NewTimer(0) // bounds the shutdown once that has begun
	defer func() { lastResort.Stop() }()
	embedded, err := startEmbedded(ctx, c, log)
	if err != nil {
		return err
	}
	if embedded != nil {
		defer func() { end = errors.Join(end, stopEmbedded(embedded, log)) }()
	}

	bounds := bound.NewSet()
	natsOptions := c.natsOptions(embedded, log)
	natsOptions.Bounds = bounds
	client, err := kvclient.Connect(natsOptions)
	if err != nil {
		return err
	}
	defer closeClient(client)
	if embedded != nil {
		defer startMending(ctx, client, log)()
	}
	feeds := feed.NewHub(client, feed.Options{Bounds: bounds, Logger: log})
	defer feeds.Close()

	var draining atomic.Bool
	registry := newRegistry()
	options := c.handlerOptions(log)
	options.Client, options.Feeds, options.Bounds = client, feeds, bounds
	options.Metrics, options.Draining = registry, draining.Load
	if embedded != nil {
		options.Failing = embedded.WriteError
	}
	handler, err := handlers.New(options)
	if err != nil {
		return err
	}

	failed := make(chan error, 2)
	api, err := listen(ctx, c.apiListener(bounds, log), handler, log)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	admin, err := startAdmin(ctx, c, bounds, registry, log, failed)
	if err != nil {
		api.net.Close()
		return err
	}
	go api.serve(failed)
	announce(c, addresses{api: api, admin: admin, embedded: embedded}, stdout, stderr, log)

	err = untilTheEnd(ctx, failed, log)
	lastResort = endBy(c.DrainDelay+c.ShutdownTimeout+endGrace, log, os.Exit)
	draining.Store(true) // /readyz says no
	if err == nil {
		waitFor(c.DrainDelay, failed)
	}
	feeds.Farewell() // the streams end: Shutdown alone would wait for them
	client.StopWaiting()
	deadline := time.Now().Add(c.ShutdownTimeout)
	err = errors.Join(err, api.shutdown(c.ShutdownTimeout))
	closeStreams(handler, deadline)
	if admin != nil {
		admin.http.Close() // last, so that metrics are there while requests finish
	}
	log.Info().Msg("HTTP is down, closing NATS")
	return err
}

// untilTheEnd waits for a signal, or returns why a listener failed.
func untilTheEnd(ctx context.Context, failed <-chan error, log zerolog.Logger) (err error) {
	select {
	case <-ctx.Done():
		log.Info().Str("cause", context.Cause(ctx).Error()).Msg("shutting down")
	case err = <-failed:
		log.Error().Err(err).Msg("shutting down")
	}
	return err
}

// startEmbedded returns nil when another NATS is to be used.
func startEmbedded(ctx context.Context, c *config, log zerolog.Logger) (*natsd.Server, error) {
	if c.NatsURL != "" {
		return nil, nil
	}
	embedded, err := natsd.Start(ctx, natsd.Options{
		DataDir:      c.DataDir,
		SyncAlways:   c.Sync.always,
		SyncInterval: c.Sync.interval,
		Listen:       c.EmbeddedListen,
		AcceptLoss:   c.AcceptLoss,
		StopTimeout:  embeddedStopTimeout,
		Logger:       log,
	})
	if _, lost := errors.AsType[*natsd.LossError](err); lost {
		err = fmt.Errorf("%w\nRestore a backup, or start once with --accept-loss to go on with what is "+
			"left; what is damaged is copied to set-aside in the data directory before", err)
	}
	return embedded, err
}

func (c *config) natsOptions(embedded *natsd.Server, log zerolog.Logger) kvclient.Options {
	opts := kvclient.Options{
		URL:            c.NatsURL,
		Name:           c.NatsName,
		CredsFile:      c.NatsCreds,
		User:           c.NatsUser,
		Password:       c.NatsPassword,
		Token:          c.NatsToken,
		NKeyFile:       c.NatsNkey,
		TLSCA:          c.NatsTLSCA,
		TLSCert:        c.NatsTLSCert,
		TLSKey:         c.NatsTLSKey,
		JSDomain:       c.JSDomain,
		JSAPIPrefix:    c.JSAPIPrefix,
		InboxPrefix:    c.InboxPrefix,
		RequestTimeout: c.RequestTimeout,
		Logger:         log,
	}
	if embedded != nil { // a nil *Server in the interface would not be nil
		opts.InProcess = embedded
	}
	return opts
}

// startMending removes what a crash brought back, beside the first requests. What it returns ends that.
func startMending(ctx context.Context, client *kvclient.Client, log zerolog.Logger) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var mending sync.WaitGroup
	mending.Go(func() {
		keys, err := client.FinishRollUps(ctx)
		if err != nil && ctx.Err() == nil {
			log.Warn().Err(err).Msg("it is not known whether a crash of the nats-server brought older revisions back")
		}
		if keys > 0 {
			log.Warn().Int("keys", keys).Msg("older revisions that a crash of the nats-server brought back were removed again")
		}
	})
	return func() { cancel(); mending.Wait() }
}

// handlerOptions are those that come from the settings alone.
func (c *config) handlerOptions(log zerolog.Logger) handlers.Options {
	return handlers.Options{
		Logger:               log,
		Build:                buildInfo(),
		BasePath:             c.BasePath,
		CheckHost:            c.checkHost(),
		AllowedHosts:         c.AllowedHost,
		AllowOrigins:         c.AllowOrigin,
		RequirePreconditions: c.RequirePreconditions,
		StreamAge:            c.StreamMaxAge,
		TransactionRate:      c.TransactionRate,
		StreamLoops:          c.StreamLoops,
		MaxStreams:           c.MaxStreams,
		MemoryForAnswers:     int64(c.MemoryForAnswers),
	}
}

// closeStreams waits for clients that have yet to take the last word, until the time for requests is over.
func closeStreams(handler *handlers.Server, end time.Time) {
	ctx, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	handler.Close(ctx)
}

// closeClient bounds the flush: no request is running any more that could be waiting for it.
func closeClient(client *kvclient.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	client.Close(ctx)
}

// startAdmin serves metrics and profiles on an address of their own, if one is given; else it returns nil.
func startAdmin(
	ctx context.Context, c *config, bounds *bound.Set, registry *prometheus.Registry,
	log zerolog.Logger, failed chan<- error,
) (*listener, error) {
	if c.AdminListen == "" {
		return nil, nil
	}
	host, _, _ := net.SplitHostPort(c.AdminListen)
	admin, err := listen(ctx, c.adminListener(bounds), adminHandler(registry, bounds, isLoopback(host)), log)
	if err != nil {
		return nil, fmt.Errorf("--admin-listen: %w", err)
	}
	go admin.serve(failed)
	return admin, nil
}

// waitFor returns after the delay, or when serving has failed and there is nothing to wait for.
func waitFor(delay time.Duration, failed <-chan error) {
	select {
	case <-time.After(delay):
	case <-failed:
	}
}
