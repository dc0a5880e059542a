//go:build unix && !linux

package devinfra

import "syscall"

// Only Linux can tie a child's life to its parent's.
func dieWithParent(*syscall.SysProcAttr) {}

func onParentDeath(*syscall.SysProcAttr, syscall.Signal) {}
