//go:build !unix

package main

// openFilesLimit is not known on this system.
func openFilesLimit() int64 { return 0 }
