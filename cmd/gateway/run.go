package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
	"kvgateway/internal/console"
	"kvgateway/internal/handlers"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natsd"
)

// run is the whole program. It returns when a command is done or, when it serves, some time after
// ctx has ended.
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
	case name == "token new":
		return cmd.Token.New.print(stdout, time.Now())
	case strings.HasPrefix(name, "auth check"):
		return cmd.Auth.Check.print(stdout)
	case strings.HasPrefix(name, "auth explain"):
		return cmd.Auth.Explain.print(os.Stdin, stdout)
	}
	log, buffer := newLogger(&cmd.config, stderr)
	defer buffer.direct()
	context.AfterFunc(ctx, buffer.direct) // a second signal leaves no time to write lines
	keepHeapFloor(ctx)
	return serve(ctx, &cmd.config, stdout, stderr, log)
}

// serve builds the gateway from the inside out and takes it down from the outside in; the package
// documentation has the steps of the shutdown. The deferred calls run last and in the opposite
// order: feeds are closed, then the connections to NATS, then the embedded server is stopped.
func serve(
	ctx context.Context, c *config, stdout, stderr io.Writer, log zerolog.Logger,
) (end error) {
	lastResort := time.NewTimer(0) // ends the process if the shutdown takes too long
	defer func() { lastResort.Stop() }()
	bounds, registry := bound.NewSet(), newRegistry()
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop() // a shutdown can take long enough for a right or a certificate to end
	c.surviveHangups(running, log)
	gate, err := c.startAuth(running, bounds, registry, log)
	if err != nil {
		return err
	}
	descriptors := c.budgetDescriptors(bounds, log)
	lines, err := c.openAudit(ctx, bounds, stdout, log)
	if err != nil {
		return err
	}
	defer func() { end = closeAudit(lines, end) }()
	failed := make(chan error, 3) // one for each listener, and one for the embedded server
	embedded, err := startEmbedded(ctx, c, descriptors, failed, log)
	if err != nil {
		return err
	}
	if embedded != nil {
		defer func() { end = errors.Join(end, stopEmbedded(embedded, log)) }()
	}

	natsOptions := c.natsOptions(embedded, log)
	natsOptions.Bounds = bounds
	if embedded != nil {
		natsOptions.MemoryIsShort = watchMemory(ctx, int64(c.SlowWritesAbove), func() int64 {
			// #nosec G115 -- bytes of memory are far below 2^63
			return int64(embedded.MemoryBytes())
		})
	}
	client, err := kvclient.Connect(natsOptions)
	if err != nil {
		return err
	}
	defer closeClient(client)
	if embedded != nil {
		defer startRollUpRepair(ctx, client, log)()
	}
	feeds, err := c.startFeeds(client, bounds, log)
	if err != nil {
		return err
	}
	defer feeds.Close()
	identities, err := newIdentities(gate, client, feeds, bounds, log)
	if err != nil {
		return err
	}
	defer closeIdentities(identities)

	var draining atomic.Bool
	options := c.handlerOptions(log)
	if options.Proxies, err = c.proxies(); err != nil {
		return err
	}
	options.Client, options.Feeds, options.Bounds = client, feeds, bounds
	options.Audit = lines
	options.Gate, options.Identities = gate, identities
	options.Metrics, options.Draining = registry, draining.Load
	if embedded != nil {
		options.Failing, options.TooManyBuckets = embedded.WriteError, embedded.TooManyStreams
		options.MemoryForBuckets = int64(c.MemoryForBuckets)
	}
	handler, err := handlers.New(options)
	if err != nil {
		return err
	}
	if err := c.keepTicketKeys(ctx, handler.TicketKeys(), log); err != nil {
		return err
	}

	secured, err := c.newTLSSource(log)
	if err != nil {
		return err
	}
	if secured != nil {
		secured.watch(running)
	}
	api, err := listen(ctx, c.apiListener(bounds, descriptors.plan, secured), handler, log)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	metrics := adminHandler(registry, bounds, gate, c.AdminListen)
	admin, err := startAdmin(ctx, c, metrics, bounds, secured, log, failed)
	if err != nil {
		api.net.Close()
		return err
	}
	go api.serve(failed)
	announce(c, addresses{api: api, admin: admin, embedded: embedded}, stdout, stderr, log)

	err = untilTheEnd(ctx, failed, log)
	lastResort = endBy(c.DrainDelay+c.ShutdownTimeout+endGrace, log, os.Exit)
	draining.Store(true) // /readyz answers 503
	if err == nil {
		waitFor(c.DrainDelay, failed)
	}
	endStreams(feeds, identities)
	farewell := time.Now().Add(min(farewellTime, c.ShutdownTimeout))
	defer time.AfterFunc(time.Until(farewell), handler.EndStreams).Stop()
	client.StopWaiting()
	err = errors.Join(err, api.shutdown(c.ShutdownTimeout))
	closeStreams(handler, farewell)
	if admin != nil {
		admin.close() // after the API, so that metrics are there while requests finish
	}
	log.Info().Msg("HTTP is down, closing NATS")
	return err
}

// untilTheEnd waits for a signal. If a listener or the embedded server fails before, it returns the
// reason.
func untilTheEnd(ctx context.Context, failed <-chan error, log zerolog.Logger) (err error) {
	select {
	case <-ctx.Done():
		log.Info().Str("cause", context.Cause(ctx).Error()).Msg("shutting down")
	case err = <-failed:
		log.Error().Err(err).Msg("shutting down")
	}
	return err
}

// startEmbedded starts the embedded nats-server. It returns nil if another NATS is given. If the
// server has to be started again later and hangs, failed gets an error.
func startEmbedded(
	ctx context.Context, c *config, descriptors descriptorBudget, failed chan<- error,
	log zerolog.Logger,
) (*natsd.Server, error) {
	if c.NatsURL != "" {
		return nil, nil
	}
	embedded, err := natsd.Start(ctx, natsd.Options{
		DataDir:      c.DataDir,
		SyncAlways:   c.Sync.always,
		SyncInterval: c.Sync.interval,
		Listen:       c.EmbeddedListen,
		WSListen:     c.EmbeddedWSListen,
		WSOrigins:    c.AllowOrigin,
		Streams:      descriptors.streams,
		Clients:      descriptors.clients,
		MemoryBytes:  int64(c.MemoryForBuckets),
		AcceptLoss:   c.AcceptLoss,
		Hangs:        func(err error) { failed <- err },
		StopTimeout:  embeddedStopTimeout,
		Logger:       log,
	})
	if _, lost := errors.AsType[*natsd.LossError](err); lost {
		err = fmt.Errorf("%w\nRestore a backup, or start once with --accept-loss to go on with "+
			"what is left. The damaged files are copied to set-aside in the data directory first",
			err)
	}
	return embedded, err
}

// natsOptions returns the options of the connections to NATS.
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
	if embedded != nil { // an interface with a nil *Server would not be nil
		opts.InProcess = embedded
	}
	return opts
}

// startRollUpRepair removes the old revisions that a crash of the embedded server has brought back,
// while the first requests are served already. end stops it and waits until it has stopped.
func startRollUpRepair(
	ctx context.Context, client *kvclient.Client, log zerolog.Logger,
) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var repairing sync.WaitGroup
	repairing.Go(func() {
		keys, err := client.FinishRollUps(ctx)
		if err != nil && ctx.Err() == nil {
			log.Warn().Err(err).Msg("it is not known whether a crash of the nats-server has " +
				"brought old revisions back")
		}
		if keys > 0 {
			log.Warn().Int("keys", keys).Msg("old revisions that a crash of the nats-server had " +
				"brought back were removed again")
		}
	})
	return func() { cancel(); repairing.Wait() }
}

// handlerOptions returns the options of the handlers that come from the settings alone.
func (c *config) handlerOptions(log zerolog.Logger) handlers.Options {
	return handlers.Options{
		Logger:               log,
		Build:                buildInfo(),
		BasePath:             c.BasePath,
		PublicURL:            c.PublicURL,
		CheckHost:            c.checkHost(),
		AllowedHosts:         c.ownHosts(),
		AllowOrigins:         c.AllowOrigin,
		LogKeys:              c.LogKeys,
		Console:              console.Mode(c.Console),
		RequirePreconditions: c.RequirePreconditions,
		StreamAge:            c.StreamMaxAge,
		TransactionRate:      c.TransactionRate,
		StreamLoops:          c.StreamLoops,
		MaxStreams:           c.MaxStreams,
		StreamsPerCaller:     c.StreamsPerCaller,
		Rate:                 c.rate(),
		MemoryForAnswers:     int64(c.MemoryForAnswers),
	}
}

// farewellTime is how long the clients of streams have to take the last words. What a stream does
// not deliver is not lost: its client resumes it. So a client that takes nothing does not hold up
// the end for as long as a request may.
const farewellTime = 2 * time.Second

// closeStreams waits until the clients of streams have taken the last words, or end has come.
func closeStreams(handler *handlers.Server, end time.Time) {
	ctx, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	handler.Close(ctx)
}

// closeClient closes the connections to NATS. It bounds the flush, since no request runs that could
// need it.
func closeClient(client *kvclient.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	client.Close(ctx)
}

// startAdmin serves metrics and profiles on an address of their own. It returns nil if none is
// given.
func startAdmin(
	ctx context.Context, c *config, handler http.Handler, bounds *bound.Set,
	secured *tlsSource, log zerolog.Logger, failed chan<- error,
) (*listener, error) {
	if c.AdminListen == "" {
		return nil, nil
	}
	admin, err := listen(ctx, c.adminListener(bounds, secured), handler, log)
	if err != nil {
		return nil, fmt.Errorf("--admin-listen: %w", err)
	}
	go admin.serve(failed)
	return admin, nil
}

// waitFor returns after the delay, or when something has failed and there is nothing to wait for.
func waitFor(delay time.Duration, failed <-chan error) {
	select {
	case <-time.After(delay):
	case <-failed:
	}
}
