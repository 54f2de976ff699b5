package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
)

// authLookEvery is how often the auth file and its files with keys are looked at. They are read and
// compared, since a change that keeps their sizes within the resolution of their times would be
// missed otherwise.
const authLookEvery = 500 * time.Millisecond

// An authFile puts the auth file in force, and again when it or one of its files with keys changes,
// or on SIGHUP. A file with a mistake is logged, once for each change, and the policy of before
// stays in force. A change that is found by looking is taken once it has stayed the same for
// authLookEvery, so that a file that is being written is not taken before it is whole.
type authFile struct {
	// name is that of the file.
	name string
	// gate has the policy in force.
	gate *auth.Gate
	// log takes what is in force, and what is wrong.
	log zerolog.Logger
	// loads counts the times at which a changed file was read, by result.
	loads *prometheus.CounterVec

	// check returns why a policy cannot be put in force with the settings of the gateway.
	check func(*auth.Policy) error
	// isOpen reports whether other machines can reach the API.
	isOpen bool
	// files are those that were parsed last, in force or not. What they had is what was parsed.
	files *auth.Files
	// seen is what the same files had at the last look.
	seen auth.Digest
}

// startAuth reads the auth file of the settings, and returns a gate with its policy. It returns nil
// without an error if there is none. The file is looked at until ctx ends.
func (c *config) startAuth(
	ctx context.Context, bounds *bound.Set, registry *prometheus.Registry, log zerolog.Logger,
) (*auth.Gate, error) {
	if c.AuthFile == "" {
		return nil, nil
	}
	f := &authFile{name: c.AuthFile, isOpen: !c.loopbackOnly(), check: c.checkPassing, log: log}
	f.loads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kvgw_auth_file_loads_total",
		Help: "Times at which the auth file was read after a change, by result.",
	}, []string{"result"})
	failures := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "kvgw_auth_keys_failures_total",
		Help: "Times at which the keys of an issuer of JWTs could not be fetched.",
	})
	registry.MustRegister(f.loads, failures)
	policy, files, err := auth.LoadFiles(f.name)
	if err != nil {
		return nil, fmt.Errorf("--auth-file: %s: %w", f.name, err)
	}
	f.gate = auth.NewGateWith(policy, auth.Options{Bounds: bounds, KeysFailed: func(err error) {
		failures.Inc()
		log.Error().Err(err).Msg("the keys of an issuer of tokens could not be fetched")
	}})
	f.files, f.seen = files, files.Digest()
	f.warn(policy)
	f.loads.WithLabelValues("taken").Inc()
	reread(ctx, authLookEvery, func() {
		f.look()
		f.gate.RefreshKeys()
	}, f.load)
	return f.gate, nil
}

// look reads the files if they have changed and are whole.
func (f *authFile) look() {
	now := f.files.DigestNow()
	isStable := now == f.seen
	f.seen = now
	if isStable && now != f.files.Digest() {
		f.load()
	}
}

// load reads the files, and puts them in force if they have no mistake.
func (f *authFile) load() {
	f.take(auth.LoadFiles(f.name))
}

// take puts a policy in force that was made of these files, unless there is an error. The files may
// have changed while they were parsed; the next looks find that.
func (f *authFile) take(policy *auth.Policy, files *auth.Files, err error) {
	f.files, f.seen = files, files.Digest()
	if err == nil {
		err = f.check(policy)
	}
	if err != nil {
		f.loads.WithLabelValues("refused").Inc()
		f.logMistakes(err)
		return
	}
	f.gate.SetPolicy(policy)
	f.loads.WithLabelValues("taken").Inc()
	f.log.Info().Str("file", f.name).Msg("the auth file was read, and is in force")
	f.warn(policy)
}

// warn logs what a policy leaves open.
func (f *authFile) warn(policy *auth.Policy) {
	if f.isOpen && policy.AllowsAnonymous() {
		f.log.Warn().Str("file", f.name).Msg("anyone who can reach this address has the rights " +
			"of anonymous callers in the auth file, without a credential")
	}
}

// logMistakes logs a line for each mistake in a file.
func (f *authFile) logMistakes(err error) {
	const message = "the auth file was not taken: that of before stays in force"
	wrong, ok := errors.AsType[*auth.FileError](err)
	if !ok {
		f.log.Error().Str("file", f.name).Err(err).Msg(message)
		return
	}
	for _, m := range wrong.Mistakes {
		f.log.Error().Str("file", f.name).Int("line", m.Line).Int("column", m.Column).
			Str("mistake", m.Text).Msg(message)
	}
}

// checkAuth checks the settings of who may call.
func (c *config) checkAuth(m *mistakeList) {
	if c.AuthFile == "" {
		return
	}
	policy, err := auth.Load(c.AuthFile)
	if err == nil {
		err = c.checkPassing(policy)
	}
	if err != nil {
		m.add("--auth-file: %v", inFile(c.AuthFile, err))
	}
	if c.AllowAnonymous && !c.opensNATS() {
		m.add("--allow-anonymous and --auth-file contradict each other: give anonymous callers " +
			"roles in the file, and leave out --allow-anonymous")
	}
}

// opensNATS reports whether native clients of other machines can reach the embedded NATS.
func (c *config) opensNATS() bool {
	return c.NatsURL == "" && (isOpen(c.EmbeddedListen) || isOpen(c.EmbeddedWSListen))
}

// inFile returns an error of an auth file in which each mistake has the name of the file and its
// place in the form that editors know.
func inFile(name string, err error) error {
	wrong, ok := errors.AsType[*auth.FileError](err)
	if !ok {
		return err
	}
	lines := make([]error, len(wrong.Mistakes))
	for i, mistake := range wrong.Mistakes {
		lines[i] = fmt.Errorf("%s:%d:%d: %s", name, mistake.Line, mistake.Column, mistake.Text)
	}
	return errors.Join(lines...)
}
