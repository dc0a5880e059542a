package feedsheet

import (
	"strings"
	"testing"
	_ "time/tzdata"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/feeds"
)

func TestSheetSaysWhatTheFeedIs(t *testing.T) {
	all, err := discharge.LoadFeeds(feeds.Files)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		f.Mapping.Methods = map[string]string{"OWN <WAY>": "6"}
		s := Of(f, "hub.example:2575")
		var md, html strings.Builder
		if err := s.Markdown(&md); err != nil {
			t.Fatal(err)
		}
		if err := s.HTML(&html); err != nil {
			t.Fatal(err)
		}
		for _, want := range append([]string{f.Key, f.Application, f.Provider, "ADT^A03", "ADT^A13", "ADT^A42", "ADT^A50", "PV2-9", "MRG-1", "hub.example:2575", "PV1-19",
			f.Mapping.PatientAuthority, "usual place of residence"}, f.Facilities...) {
			if !strings.Contains(md.String(), want) || !strings.Contains(html.String(), want) {
				t.Errorf("%s: a sheet without %q", f.Key, want)
			}
		}
		if !strings.Contains(md.String(), "OWN <WAY>") || !strings.Contains(html.String(), "OWN &lt;WAY&gt;") {
			t.Errorf("%s: the sender's own words are not there, or not escaped", f.Key)
		}
		for _, row := range s.Triggers {
			if row.Meaning == "" {
				t.Errorf("%s is handled, and the sheet does not say what it means", row.Name)
			}
		}
		// The sample is one that the feed takes without a complaint.
		if r, err := discharge.FromHL7(f, sample(f, "A03")); err != nil || !r.Usable || len(r.Problems) > 0 || len(r.Fact.Flags) > 0 {
			t.Errorf("%s: the sample is read as %+v, %v", f.Key, r, err)
		}
	}
}
