// Package migrations holds the schema of community-pickup.
package migrations

import "embed"

//go:embed *.sql
var FS embed.FS
