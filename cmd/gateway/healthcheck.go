package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// healthcheckTimeout bounds the command as a whole.
const healthcheckTimeout = 3 * time.Second

// healthcheck asks a running gateway whether it is ready. It is for container images without curl.
func healthcheck(ctx context.Context, cmd *command, out io.Writer) error {
	address, host := cmd.Healthcheck.URL, ""
	if address == "" {
		if strings.HasSuffix(cmd.Listen, ":0") {
			return &usageError{"healthcheck: --listen has no fixed port: give the address as --url"}
		}
		// With --allowed-host the gateway may not answer to the address on which it listens.
		address, host = cmd.baseURL(cmd.Listen)+"/readyz", "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, healthcheckTimeout)
	defer cancel()
	if err := askReady(ctx, &cmd.config, address, host); err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	_, err := fmt.Fprintln(out, "ready")
	return err
}

// askReady returns nil if the gateway at an address is ready, and else the reason that it gives. An
// empty host stands for that of the address.
func askReady(ctx context.Context, c *config, address, host string) error {
	// #nosec G704 -- the address is that of the command line
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return &usageError{"--url: " + err.Error()}
	}
	req.Host = host
	// #nosec G704 -- the address is that of the command line
	resp, err := (&http.Client{Transport: c.healthTransport(host != "")}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var problem struct{ Title, Detail string }
	body := json.NewDecoder(io.LimitReader(resp.Body, 64<<10))
	if body.Decode(&problem) != nil || problem.Title == "" {
		return fmt.Errorf("%s answered %s", address, resp.Status)
	}
	return errors.New(strings.TrimSpace(resp.Status + ": " + problem.Title + ". " + problem.Detail))
}
