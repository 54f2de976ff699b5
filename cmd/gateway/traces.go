package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/audit"
	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
)

// A traceConfig has the settings of what callers leave behind or take away: the audit log, and
// tickets for browsers.
type traceConfig struct {
	PublicURL string `name:"public-url" group:"access" placeholder:"URL"`
	TicketKey string `group:"access" placeholder:"FILE"`
	AuditLog  string `group:"access" placeholder:"FILE"`
}

// checkTraces checks these settings.
func (c *config) checkTraces(m *mistakeList) {
	if c.PublicURL != "" {
		c.checkPublicURL(m)
	}
	if c.TicketKey != "" {
		text, err := readRegular(c.TicketKey)
		if err == nil {
			err = auth.NewTicketKeys().Set(text)
		}
		if err != nil {
			m.add("--ticket-key: %s: %v", c.TicketKey, err)
		}
	}
}

// checkPublicURL checks that --public-url is the address of the base path as clients write it.
func (c *config) checkPublicURL(m *mistakeList) {
	u, err := url.Parse(c.PublicURL)
	if err != nil || !isOrigin(u.Scheme+"://"+u.Host) || c.PublicURL != u.Scheme+"://"+u.Host+
		u.EscapedPath() || strings.HasSuffix(c.PublicURL, "/") {
		m.add("--public-url: %q must be the address that clients use, without a slash at its "+
			"end: scheme and host in lower case, the port if it is not the scheme's own, and the "+
			"path, for example https://kv.example.com", c.PublicURL)
		return
	}
	if !strings.HasSuffix(u.EscapedPath(), c.BasePath) {
		m.add("--public-url: %s must end with the --base-path %s, below which the gateway serves "+
			"everything", c.PublicURL, c.BasePath)
	}
}

// ownHosts returns the names of hosts for which the gateway answers where it checks that: those of
// --allowed-host, and that of --public-url.
func (c *config) ownHosts() []string {
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Host == "" {
		return c.AllowedHost
	}
	return append(slices.Clone(c.AllowedHost), u.Hostname())
}

// auditTime bounds the wait for the last lines of the audit log.
const auditTime = 2 * time.Second

// openAudit opens the audit log, which is opened anew on each SIGHUP until ctx ends. It returns nil
// if the settings have none.
func (c *config) openAudit(
	ctx context.Context, bounds *bound.Set, stdout io.Writer, log zerolog.Logger,
) (*audit.Log, error) {
	options := audit.Options{Bounds: bounds, Logger: log}
	switch c.AuditLog {
	case "":
		return nil, nil
	case "-":
		return audit.To(stdout, options), nil
	}
	lines, err := audit.Open(c.AuditLog, options)
	if err != nil {
		return nil, fmt.Errorf("--audit-log: %w", err)
	}
	onHangup(ctx, lines.Reopen)
	return lines, nil
}

// closeAudit writes the last lines of the audit log, and adds to an error if that fails.
func closeAudit(lines *audit.Log, end error) error {
	if lines == nil {
		return end
	}
	ctx, cancel := context.WithTimeout(context.Background(), auditTime)
	defer cancel()
	return errors.Join(end, lines.Close(ctx))
}

// keepTicketKeys puts the keys of --ticket-key in force, now and whenever the file changes, until
// ctx ends.
func (c *config) keepTicketKeys(
	ctx context.Context, keys *auth.TicketKeys, log zerolog.Logger,
) error {
	if c.TicketKey == "" {
		if c.AuthFile != "" {
			log.Info().Msg("tickets are signed with a random key: other gateways do not take " +
				"them, nor does this one after a restart; it is the same with the idempotency " +
				"keys of callers with NATS credentials. Share a --ticket-key")
		}
		return nil
	}
	text, err := readRegular(c.TicketKey)
	if err == nil {
		err = keys.Set(text)
	}
	if err != nil {
		return fmt.Errorf("--ticket-key: %w", err)
	}
	watchFile(ctx, c.TicketKey, text, func(text []byte, err error) {
		if err == nil {
			err = keys.Set(text)
		}
		if err != nil {
			log.Error().Err(err).Msg("--ticket-key was not taken: the keys before stay in force")
			return
		}
		log.Info().Msg("--ticket-key has changed, and is in force")
	})
	return nil
}

// A watchedFile is a file of which changes are told.
type watchedFile struct {
	name string
	// seen is the content that was told last, and last what was read last.
	seen, last []byte
	// failed is why it could not be read; "" if it could.
	failed string
}

// look returns the content of the file if it has other content than was told, and the error if it
// cannot be read any more. Content counts once it has stayed the same for a look, since a file that
// has just changed may be half written, unless it is known to be whole.
func (f *watchedFile) look(isWhole bool) ([]byte, error) {
	text, err := readRegular(f.name)
	isStable := isWhole || bytes.Equal(text, f.last)
	f.last = text
	switch {
	case err != nil && err.Error() != f.failed:
		f.failed = err.Error()
		return nil, err
	case err == nil && isStable && (f.failed != "" || !bytes.Equal(text, f.seen)):
		f.seen, f.failed = text, ""
		return text, nil
	}
	return nil, nil
}

// watchFile calls changed whenever a file has other content than before, or cannot be read any
// more, until ctx ends. It looks each second, and on SIGHUP, when the file counts as whole.
func watchFile(
	ctx context.Context, name string, seen []byte, changed func(text []byte, err error),
) {
	f := watchedFile{name: name, seen: seen, last: seen}
	look := func(isWhole bool) {
		if text, err := f.look(isWhole); text != nil || err != nil {
			changed(text, err)
		}
	}
	reread(ctx, tlsLookEvery, func() { look(false) }, func() { look(true) })
}
