// Package e2e tests the program itself: the built binary, which is started with flags, used over
// HTTP, and stopped with signals.
package e2e
