//go:build !linux

package main

// limitUnsent has no effect, since this system has no such bound, or has it in another form.
func limitUnsent(socket, int) error { return nil }
