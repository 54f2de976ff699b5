//go:build !linux

package roles

import "syscall"

func childAttributes() *syscall.SysProcAttr { return nil }
