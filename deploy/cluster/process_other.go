//go:build !linux

package main

import "syscall"

// childAttributes returns what a child needs beside the default, which is nothing here.
func childAttributes() *syscall.SysProcAttr { return nil }
