package kvclient

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
)

// natsOptions translates the settings for nats.go, and reads the files that they name.
func (o Options) natsOptions() ([]nats.Option, error) {
	var options []nats.Option
	add := func(option nats.Option) { options = append(options, option) }
	if o.JSDomain != "" && o.JSAPIPrefix != "" {
		return nil, errors.New("a JetStream domain and an API prefix exclude each other")
	}
	prefixes := map[string]string{
		"JetStream domain": o.JSDomain,
		"API prefix":       o.JSAPIPrefix,
		"inbox prefix":     o.InboxPrefix,
	}
	for name, value := range prefixes {
		if value != "" && !kv.IsSubjectPrefix(value) {
			return nil, fmt.Errorf("%s %.40q: it goes in front of subjects, so it must be tokens "+
				"between dots, without spaces or wildcards", name, value)
		}
	}
	if o.InProcess != nil {
		add(nats.InProcessServer(o.InProcess))
	}
	if o.InboxPrefix != "" {
		add(nats.CustomInboxPrefix(o.InboxPrefix))
	}
	switch {
	case o.CredsFile != "":
		add(nats.UserCredentials(o.CredsFile))
	case o.NKeyFile != "":
		nkey, err := nats.NkeyOptionFromSeed(o.NKeyFile)
		if err != nil {
			return nil, fmt.Errorf("NKey seed file: %w", err)
		}
		add(nkey)
	case o.Token != "":
		add(nats.Token(o.Token))
	case o.User != "":
		add(nats.UserInfo(o.User, o.Password))
	}
	if o.TLSCA != "" {
		add(nats.RootCAs(o.TLSCA))
	}
	if o.TLSCert != "" {
		add(nats.ClientCert(o.TLSCert, o.TLSKey))
	}
	return options, nil
}

// apiPrefix returns what stands before every request to the JetStream API, with its trailing dot.
func (o Options) apiPrefix() string {
	switch {
	case o.JSDomain != "":
		return "$JS." + o.JSDomain + ".API."
	case o.JSAPIPrefix != "":
		return o.JSAPIPrefix + "."
	}
	return defaultAPIPrefix
}
