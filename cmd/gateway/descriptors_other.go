//go:build !unix

package main

// openFilesLimit returns 0, since this system has no such limit or does not say it.
func openFilesLimit() int64 { return 0 }
