// Package e2e tests the program itself: the built binary, started with flags, used over HTTP, stopped with signals.
package e2e
