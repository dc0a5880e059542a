package discharge

import (
	"bytes"
	"os"
	"testing"
	_ "time/tzdata"

	"github.com/homeward-care/homeward/services/discharge-hub/feeds"
)

// feedNamed returns one of the shipped feeds.
func feedNamed(t testing.TB, key string) Feed {
	t.Helper()
	all, err := LoadFeeds(feeds.Files)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.Key == key {
			return f
		}
	}
	t.Fatalf("no feed %s", key)
	return Feed{}
}

// sample returns the sample A03 as a production message.
func sample(t testing.TB) []byte {
	t.Helper()
	raw, err := os.ReadFile("testdata/sample_a03.hl7")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Replace(raw, []byte("|MSG000042|T|"), []byte("|MSG000042|P|"), 1)
}

func TestSample(t *testing.T) {
	r, err := FromHL7(feedNamed(t, "mse-basildon"), sample(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r)
	t.Logf("%+v", Fold([]Fact{r.Fact}))
}
