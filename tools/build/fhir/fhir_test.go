// Package fhir has another implementation of FHIR R4, github.com/google/fhir, read what the FHIR door writes and what its guide tells hospitals
// to send. It is a module of its own because that library is heavy and nothing else needs it.
package fhir

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/fhir/go/fhirversion"
	"github.com/google/fhir/go/jsonformat"
)

const hub = "../../../services/discharge-hub"

// check reads a resource with all validation that the library has: unknown elements, missing ones, codes, references, types.
func check(t *testing.T, name string, raw []byte) {
	t.Helper()
	reader, err := jsonformat.NewUnmarshaller("Europe/London", fhirversion.R4)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.UnmarshalR4(raw); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

func TestWhatTheDoorWrites(t *testing.T) {
	files, err := filepath.Glob(hub + "/fhir/testdata/emitted/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		check(t, filepath.Base(file), raw)
	}
}

// examples are the bodies that the guide sends.
var examples = regexp.MustCompile(`(?s)<<'JSON'\n(.*?)\nJSON\n`)

func TestWhatTheGuideSends(t *testing.T) {
	guide, err := os.ReadFile(hub + "/docs/fhir.md")
	if err != nil {
		t.Fatal(err)
	}
	found := examples.FindAllSubmatch(guide, -1)
	if len(found) < 2 {
		t.Fatalf("%d examples", len(found))
	}
	for _, m := range found {
		check(t, string(m[1][:60]), m[1])
	}
}

func TestTheWitnessSeesWhatIsWrong(t *testing.T) {
	reader, err := jsonformat.NewUnmarshaller("Europe/London", fhirversion.R4)
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"a wrong code":      `{"resourceType":"Task","status":"requested","intent":"wish"}`,
		"a missing element": `{"resourceType":"Task","status":"requested"}`,
		"an unknown one":    `{"resourceType":"Task","status":"requested","intent":"order","colour":"red"}`,
	} {
		if _, err := reader.UnmarshalR4([]byte(raw)); err == nil {
			t.Errorf("%s was not seen", name)
		}
	}
}
