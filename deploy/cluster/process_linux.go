package main

import "syscall"

// childAttributes let a child end with this process even if that is killed, and keep Ctrl-C from
// it, since this process stops its children itself.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
