// Package migrations holds the schema of reablement-capacity.
package migrations

import "embed"

//go:embed *.sql
var FS embed.FS
