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

const healthcheckTimeout = 3 * time.Second

// healthcheck asks a running gateway whether it is ready, for container platforms whose images hold no curl.
func healthcheck(ctx context.Context, cmd *command, out io.Writer) error {
	address := cmd.Healthcheck.URL
	if address == "" {
		if strings.HasSuffix(cmd.Listen, ":0") {
			return &usageError{"healthcheck: --listen has no fixed port, say where to ask with --url"}
		}
		address = baseURL(cmd.Listen, cmd.BasePath) + "/readyz"
	}
	ctx, cancel := context.WithTimeout(ctx, healthcheckTimeout)
	defer cancel()
	if err := askReady(ctx, address); err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	_, err := fmt.Fprintln(out, "ready")
	return err
}

func askReady(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return &usageError{"--url: " + err.Error()}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var problem struct{ Title, Detail string }
	if json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&problem) != nil || problem.Title == "" {
		return fmt.Errorf("%s answered %s", address, resp.Status)
	}
	return errors.New(strings.TrimSpace(resp.Status + ": " + problem.Title + ". " + problem.Detail))
}
