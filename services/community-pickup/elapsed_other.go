//go:build !linux

package communitypickup

import "time"

var started = time.Now()

// elapsed is time since the program started.
func elapsed() time.Duration { return time.Since(started) }
