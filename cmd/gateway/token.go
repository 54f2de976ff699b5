package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"kvgateway/internal/auth"
)

// A tokenNew has the flags of the command token new.
type tokenNew struct {
	Name    string   `required:"" env:"-" placeholder:"NAME" help:"${token_name_help}"`
	Role    []string `required:"" env:"-" placeholder:"ROLE" help:"${token_role_help}"`
	Expires string   `env:"-" placeholder:"WHEN" help:"${token_expires_help}"`
}

// print makes a token, and prints it with the entry for the auth file.
func (t *tokenNew) print(out io.Writer, now time.Time) error {
	entry := "{ name: " + t.Name
	token := auth.NewToken()
	entry += `, sha256: "` + auth.HashToken(token) + `", roles: [` + strings.Join(t.Role, ", ") +
		"]"
	if t.Expires != "" {
		end, err := parseEnd(t.Expires, now)
		if err != nil {
			return &usageError{"--expires: " + err.Error()}
		}
		entry += ", expires: " + end
	}
	entry += " }"
	// The file is checked as a whole, since names of roles, too, could have any characters.
	roles := "roles:\n"
	for _, role := range t.Role {
		roles += "  " + role + ": [{ bucket: a, can: [get] }]\n"
	}
	if _, err := auth.Parse([]byte(roles + "tokens:\n  - " + entry + "\n")); err != nil {
		return &usageError{"--name, --role: names of tokens and roles begin with a letter or " +
			"digit, and have letters, digits and . _ : @ / - only"}
	}
	_, err := fmt.Fprintf(out, "%s\n\nThis is shown once. Give it to the caller, and add this to "+
		"tokens in the auth file:\n  - %s\n", token, entry)
	return err
}

// parseEnd returns when a token ends, as the auth file has it: a number of days such as 90d, a
// duration, a day, or a time.
func parseEnd(text string, now time.Time) (string, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 {
			return now.UTC().AddDate(0, 0, int(n)).Format(time.DateOnly), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.UTC().Add(d).Format(time.RFC3339), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil && t.After(now) {
			return text, nil
		}
	}
	return "", fmt.Errorf("%q is neither a number of days such as 90d, nor a duration such as "+
		"12h, nor a day or time to come such as 2030-01-31", text)
}
