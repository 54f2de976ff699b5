package auth

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/goccy/go-yaml"

	"kvgateway/internal/kv"
)

// A Policy is an auth file that was read and checked. It does not change.
type Policy struct {
	// anonymous are the rights of callers without a credential; nil if they are refused.
	anonymous *Rights
	// tokens are the callers by the SHA-256 of their tokens.
	tokens map[[32]byte]*ownToken
	// nats has the section nats.
	nats NATSSettings
}

// An ownToken is a token of the file.
type ownToken struct {
	name    string
	rights  *Rights
	expires time.Time
}

// Parse reads an auth file. The error says what is wrong and in which line.
func Parse(text []byte) (*Policy, error) {
	var file struct {
		Roles map[string][]struct {
			Bucket string    `yaml:"bucket"`
			Keys   *[]string `yaml:"keys"`
			Can    []string  `yaml:"can"`
		} `yaml:"roles"`
		Anonymous []string `yaml:"anonymous"`
		Tokens    []struct {
			Name    string    `yaml:"name"`
			SHA256  string    `yaml:"sha256"`
			Roles   []string  `yaml:"roles"`
			Expires time.Time `yaml:"expires"`
		} `yaml:"tokens"`
		NATS *struct {
			Enabled        bool           `yaml:"enabled"`
			MaxConnections *int           `yaml:"max_connections"`
			Idle           *time.Duration `yaml:"idle"`
		} `yaml:"nats"`
	}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&file); err != nil {
		return nil, fmt.Errorf("auth file: %w", err)
	}
	roles := make(map[string][]Rule)
	for name, rules := range file.Roles {
		for _, r := range rules {
			pattern, err := ParseBucketPattern(r.Bucket)
			if err != nil {
				return nil, fmt.Errorf("role %s: %w", name, err)
			}
			rule := Rule{Bucket: pattern}
			if r.Keys != nil {
				if rule.Keys, err = kv.ParseFilters(*r.Keys); err != nil {
					return nil, fmt.Errorf("role %s: %w", name, err)
				}
				if len(rule.Keys) == 0 {
					return nil, fmt.Errorf("role %s: keys is empty; leave it out for all", name)
				}
			}
			for _, can := range r.Can {
				action, ok := ParseAction(can)
				if !ok {
					return nil, fmt.Errorf("role %s: there is no action %q", name, can)
				}
				rule.Can |= action
			}
			roles[name] = append(roles[name], rule)
		}
	}
	rightsOf := func(names []string) (*Rights, error) {
		var rights Rights
		for _, name := range names {
			rules, ok := roles[name]
			if !ok {
				return nil, fmt.Errorf("there is no role %q", name)
			}
			rights.rules = append(rights.rules, rules...)
		}
		return &rights, nil
	}
	p := &Policy{tokens: make(map[[32]byte]*ownToken)}
	var err error
	if file.Anonymous != nil {
		if p.anonymous, err = rightsOf(file.Anonymous); err != nil {
			return nil, err
		}
	}
	for _, t := range file.Tokens {
		var hash [32]byte
		if n, err := hex.Decode(hash[:], []byte(t.SHA256)); err != nil || n != len(hash) {
			return nil, fmt.Errorf("token %s: sha256 must be 64 hexadecimal digits", t.Name)
		}
		rights, err := rightsOf(t.Roles)
		if err != nil {
			return nil, fmt.Errorf("token %s: %w", t.Name, err)
		}
		p.tokens[hash] = &ownToken{name: t.Name, rights: rights, expires: t.Expires}
	}
	if n := file.NATS; n != nil {
		p.nats = NATSSettings{n.Enabled, defaultNATSConnections, defaultNATSIdle}
		if n.MaxConnections != nil {
			p.nats.MaxConnections = *n.MaxConnections
		}
		if n.Idle != nil {
			p.nats.Idle = *n.Idle
		}
		if p.nats.MaxConnections < 1 || p.nats.Idle < time.Second {
			return nil, errors.New("nats: max_connections must be at least 1, and idle at least 1s")
		}
	}
	return p, nil
}
