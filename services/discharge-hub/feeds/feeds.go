// Package feeds holds the senders that the hub knows, one JSON file each; discharge.LoadFeeds reads and checks them.
package feeds

import "embed"

// Files is the folder of feeds.
//
//go:embed *.json
var Files embed.FS
