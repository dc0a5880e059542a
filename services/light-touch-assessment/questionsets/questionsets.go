// Package questionsets holds the versions of the questions of the light-touch assessment.
package questionsets

import (
	"embed"
	"fmt"

	"github.com/homeward-care/homeward/services/light-touch-assessment/assessment"
)

//go:embed *.json
var files embed.FS

// Load returns every question set by its id. A file is named after the id of its set.
func Load() (map[string]assessment.QuestionSet, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	sets := make(map[string]assessment.QuestionSet, len(entries))
	for _, e := range entries {
		data, err := files.ReadFile(e.Name())
		if err != nil {
			return nil, err
		}
		set, err := assessment.ParseQuestionSet(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		if set.ID+".json" != e.Name() {
			return nil, fmt.Errorf("%s holds the question set %q; name the file after it", e.Name(), set.ID)
		}
		sets[set.ID] = set
	}
	return sets, nil
}
