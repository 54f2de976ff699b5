package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"kvgateway/internal/auth"
)

// An authCommand has the commands about auth files.
type authCommand struct {
	Check   authCheck   `cmd:"" help:"Look for mistakes in an auth file: exit status 0 or 1."`
	Explain authExplain `cmd:"" help:"${explain_help}"`
}

// An authCheck has the arguments of the command auth check.
type authCheck struct {
	File string `arg:"" help:"The auth file."`
}

// print prints that the file is good, or returns its mistakes.
func (c *authCheck) print(out io.Writer) error {
	policy, err := auth.Load(c.File)
	if err != nil {
		return inFile(c.File, err)
	}
	if _, err = fmt.Fprintf(out, "%s: ok, %s\n", c.File, policy); err != nil {
		return err
	}
	if policy.NATS().Enabled {
		_, err = fmt.Fprintln(out, "section nats: a gateway takes this file only with --nats-url "+
			"and without --nats-tls-cert; the embedded NATS has no users")
	}
	return err
}

// An authExplain has the arguments of the command auth explain.
type authExplain struct {
	File      string `arg:"" help:"The auth file."`
	Method    string `arg:"" help:"The method of the request, such as GET."`
	Path      string `arg:"" help:"The path of the request, with its query."`
	Token     string `env:"-" xor:"who" placeholder:"TOKEN" help:"${explain_token_help}"`
	TokenFile string `env:"-" xor:"who" placeholder:"FILE" help:"${explain_file_help}"`
	JWT       string `name:"jwt" env:"-" xor:"who" placeholder:"JWT" help:"${explain_jwt_help}"`
	Anonymous bool   `env:"-" xor:"who" help:"Ask for a caller without a credential."`
}

// maxCredential bounds the file of --token-file.
const maxCredential = 64 << 10

// credential returns the credential of the caller, "" for none.
func (e *authExplain) credential(stdin io.Reader) (string, error) {
	switch {
	case e.Anonymous:
		return "", nil
	case e.Token != "":
		return e.Token, nil
	case e.JWT != "":
		return e.JWT, nil
	case e.TokenFile == "":
		return "", &usageError{"say who is calling: --token-file, --token, --jwt or --anonymous"}
	}
	source := stdin
	if e.TokenFile != "-" {
		f, err := os.Open(e.TokenFile)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		defer f.Close()
		source = f
	}
	text, err := io.ReadAll(io.LimitReader(source, maxCredential))
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	if text := strings.TrimSpace(string(text)); text != "" {
		return text, nil
	}
	return "", &usageError{"--token-file: the file is empty"}
}

// print says whether the request is allowed and by which rules, or what is missing. It never prints
// the credential. If the request is refused, it returns errRefused after that.
func (e *authExplain) print(stdin io.Reader, out io.Writer) error {
	policy, err := auth.Load(e.File)
	if err != nil {
		return inFile(e.File, err)
	}
	credential, err := e.credential(stdin)
	if err != nil {
		return err
	}
	asked, err := whatIsAsked(strings.ToUpper(e.Method), e.Path)
	if err != nil {
		return &usageError{err.Error()}
	}
	return explain(out, policy, credential, asked)
}
