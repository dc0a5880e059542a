//go:build !linux

package service

import "time"

var started = time.Now()

// elapsed is time since the program started.
func elapsed() time.Duration { return time.Since(started) }
