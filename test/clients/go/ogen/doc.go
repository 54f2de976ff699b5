// Package ogen has the tests of the client that ogen makes, without a configuration.
package ogen

//go:generate go tool ogen -loglevel error -target gen -package gen ../../../../api/openapi.yaml
