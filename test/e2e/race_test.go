//go:build race

package e2e

func init() { buildArgs = append(buildArgs, "-race") }
