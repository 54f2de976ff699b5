//go:build !linux

package main

// usedDescriptors returns 0, since this system does not say it cheaply.
func usedDescriptors() int64 { return 0 }
