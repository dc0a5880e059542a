// Package migrations holds the schema of discharge-hub.
package migrations

import "embed"

//go:embed *.sql
var FS embed.FS
