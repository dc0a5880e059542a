package discharge

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/homeward-care/homeward/services/discharge-hub/feeds"
)

func TestShippedFeeds(t *testing.T) {
	all, err := LoadFeeds(feeds.Files)
	if err != nil {
		t.Fatal(err)
	}
	type sender struct{ application, facility string }
	for s, want := range map[sender]string{
		{"MSEPAS", "RAJ"}: "mse-basildon", {"MSEPAS", "RAJ12"}: "mse-basildon", {"MSEPAS", "RAJ01"}: "mse-basildon", {"MSEPAS", "RAJ32"}: "mse-basildon",
		{"MSEPAS-ALL", "RAJ"}: "mse-all", {"BHRUTPAS", "RF4"}: "bhrut", {"DGTPAS", "RN7"}: "dartford",
		{"MSEPAS", "RF4"}: "", {"msepas", "RAJ"}: "", {"MSEPAS", "RAJ1"}: "", {"", ""}: "", {"", "RAJ"}: "",
	} {
		if f, ok := Match(all, s.application, s.facility); f.Key != want || ok != (want != "") {
			t.Errorf("%v is feed %q, want %q", s, f.Key, want)
		}
	}
	if f := feedNamed(t, "hub-staff"); f.Door != DoorGRPC || f.Provider != "RAJ" || f.Scope != ScopeNotTold {
		t.Errorf("hub-staff is %+v", f)
	}
	if f := feedNamed(t, "mse-all"); f.Scope != ScopeWholeHospital || f.Mode != Live {
		t.Errorf("mse-all is %+v", f)
	}
}

func TestAFeedsMistakesAreNamedByFileAndField(t *testing.T) {
	const good = `{"key":"a","door":"mllp","application":"X","facilities":["RAJ"],"provider":"RAJ","scope":"social-care","time_zone":"Europe/London","mode":"live","mapping":{"version":"1"}}`
	if _, err := ParseFeed("a.json", []byte(good)); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string][2]string{
		"key":                  {`"key":"a"`, `"key":"A b"`},
		"door":                 {`"mllp"`, `"ftp"`},
		"application":          {`"X"`, `""`},
		"facilities":           {`["RAJ"]`, `["RAJ "]`},
		"provider":             {`"provider":"RAJ"`, `"provider":""`},
		"scope":                {`"social-care"`, `"all"`},
		"time_zone":            {`"Europe/London"`, `"London"`},
		"mode":                 {`"live"`, `"on"`},
		"mapping.version":      {`"version":"1"`, `"version":""`},
		"mapping.visit":        {`"version":"1"`, `"version":"1","visit":"19"`},
		"mapping.method":       {`"version":"1"`, `"version":"1","method":"PV1.36"`},
		"mapping.practices":    {`"version":"1"`, `"version":"1","practices":["PD1"]`},
		"mapping.methods":      {`"version":"1"`, `"version":"1","methods":{"H":"19"}`},
		"mapping.destinations": {`"version":"1"`, `"version":"1","destinations":{"H":"1"}`},
		"mapping.pathways":     {`"version":"1"`, `"version":"1","pathways":{"H":"4"}`},
		"certificates":         {`"key":"a"`, `"key":"a","certificates":[""]`},
		"silent.after":         {`"key":"a"`, `"key":"a","silent":{"after":"often"}`},
		"silent.from":          {`"key":"a"`, `"key":"a","silent":{"after":"45m","from":"7 am"}`},
		"answers.addr":         {`"key":"a"`, `"key":"a","answers":{"addr":"engine","application":"EPR","facility":"RAJ"}`},
		"answers.application":  {`"key":"a"`, `"key":"a","answers":{"addr":"engine:2576","facility":"RAJ"}`},
		"answers.server_name":  {`"key":"a"`, `"key":"a","answers":{"addr":"engine:2576","application":"EPR","facility":"RAJ","server_name":"x"}`},
		"colour":               {`"key":"a"`, `"key":"a","colour":"red"`},
	} {
		_, err := ParseFeed("a.json", []byte(strings.Replace(good, change[0], change[1], 1)))
		if err == nil || !strings.Contains(err.Error(), "a.json") || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %v", field, err)
		}
	}
}

func TestAFeedThatIsNoCleanJSONIsRefusedInPlainWords(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "is empty",
		"{\n\"key\": \"a\",\n":             "line 3: ends too early",
		"{\n\"key\": a}":                   "line 2: invalid character 'a'",
		"{\"key\":\"a\"}\n{}":              "line 2: something stands behind",
		"{\n\"facilities\": \"RAJ\"}":      "line 2: facilities: must be a list in [ ], not string",
		"{\"answers\": {\"tls\":\"yes\"}}": "tls: must be true or false",
		"{\"mapping\": [1]}":               "mapping: must be an object in { }, not array",
		"{\"mode\":\"test\",\"key\":\"a\",\"mode\":\"live\"}": "\"mode\" is there twice",
		"{\"key\":\"a\",\"facilities\":[\"key\",\"key\"]}":    "door: must be",
	} {
		if _, err := ParseFeed("a.json", []byte(text)); err == nil || !strings.Contains(err.Error(), "a.json: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
}

func TestFeedsThatCollideAreRefused(t *testing.T) {
	feed := func(key, application string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(`{"key":"` + key + `","door":"mllp","application":"` + application + `","facilities":["RAJ"],"provider":"RAJ","scope":"social-care","time_zone":"Europe/London","mode":"live","mapping":{"version":"1"}}`)}
	}
	for name, c := range map[string]struct {
		folder fstest.MapFS
		reason string
	}{
		"no file":     {fstest.MapFS{}, "no *.json file"},
		"same key":    {fstest.MapFS{"a.json": feed("a", "X"), "b.json": feed("a", "Y")}, "b.json: key"},
		"same sender": {fstest.MapFS{"a.json": feed("a", "X"), "b.json": feed("b", "X")}, "b.json: facilities"},
	} {
		if _, err := LoadFeeds(c.folder); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	got, err := LoadFeeds(fstest.MapFS{"a.json": feed("a", "X"), "b.json": feed("b", "Y"), "README.md": {Data: []byte("no feed")}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, []string{got[0].Key, got[1].Key}); diff != "" {
		t.Error(diff)
	}
}
