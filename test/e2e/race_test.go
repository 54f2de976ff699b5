//go:build race

package e2e

// With the race detector in the tests, the gateway is built with it too.
func init() { buildArgs = append(buildArgs, "-race") }
