// Package migrations holds the schema of light-touch-assessment.
package migrations

import "embed"

//go:embed *.sql
var FS embed.FS
