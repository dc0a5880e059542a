// Package places reads a place: the folder of data by which community-pickup decides for one council. Another council is another
// folder beside thurrock/; nothing in it needs a programmer. What each file holds is told in README.md.
package places

import (
	"embed"
	"fmt"
	"io/fs"
	_ "time/tzdata" // a container without time zones still has the place's calendar

	"github.com/homeward-care/homeward/services/community-pickup/pickup"
)

//go:embed */*.csv */*.json
var folders embed.FS

// Embedded reads the place that was built in under this key, for instance "thurrock".
func Embedded(key string) (pickup.Place, error) { return EmbeddedUnder(key, "") }

// EmbeddedUnder reads a built-in place under another policy file than its place.json names.
func EmbeddedUnder(key, policyFile string) (pickup.Place, error) {
	if _, err := folders.ReadDir(key); err != nil {
		return pickup.Place{}, fmt.Errorf("place %q is not built in: add the folder places/%s, or name one of those that are there", key, key)
	}
	folder, err := fs.Sub(folders, key)
	if err != nil {
		return pickup.Place{}, fmt.Errorf("place %q: %w", key, err)
	}
	return LoadUnder(folder, policyFile)
}

// Load reads the place in a folder. The error lists everything that is wrong with the data, each with file, line and what to do.
func Load(folder fs.FS) (pickup.Place, error) {
	return LoadUnder(folder, "")
}

// LoadUnder reads the place under another policy file than place.json names, for instance to preview what it would decide.
func LoadUnder(folder fs.FS, policyFile string) (pickup.Place, error) {
	l := &loader{folder: folder}
	l.settings(policyFile)
	l.teams()
	l.councils()
	l.pcns()
	l.notPractices()
	l.practices()
	l.postcodes()
	l.holidays()
	l.policy()
	return l.place, l.err()
}
