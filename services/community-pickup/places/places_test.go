package places_test

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/community-pickup/places"
)

func thurrock(t *testing.T) fstest.MapFS {
	t.Helper()
	folder := fstest.MapFS{}
	entries, err := os.ReadDir("thurrock")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		raw, err := os.ReadFile("thurrock/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		folder[e.Name()] = &fstest.MapFile{Data: raw}
	}
	return folder
}

func TestThurrockLoadsWhole(t *testing.T) {
	p, err := places.Embedded("thurrock")
	if err != nil {
		t.Fatal(err)
	}
	perTeam := map[string]int{}
	closed := 0
	for code, rows := range p.Practices {
		if len(rows) != 1 {
			t.Errorf("practice %s has %d rows, want 1", code, len(rows))
		}
		if rows[0].To != "" {
			closed++
			continue
		}
		perTeam[p.PCNs[rows[0].PCN][0].Team]++
	}
	want := map[string]int{"CLS-ASOP": 6, "CLS-GRAYS": 10, "CLS-SLH": 6, "CLS-TC": 5}
	for team, n := range want {
		if perTeam[team] != n {
			t.Errorf("%s has %d open practices, want %d", team, perTeam[team], n)
		}
	}
	if closed != 4 {
		t.Errorf("%d closed practices, want 4", closed)
	}
	if p.Zone.String() != "Europe/London" || p.Hub != "HUB" || p.AssessmentRecord != "homeward" || p.DirectoryVersion == "" || p.PolicyVersion == "" {
		t.Errorf("settings are incomplete: %+v", p)
	}
	holidays := map[string]int{}
	for day := range p.Holidays {
		holidays[string(day[:4])]++
	}
	for _, year := range []string{"2025", "2026", "2027", "2028"} {
		if holidays[year] != 8 {
			t.Errorf("%s has %d bank holidays, want 8", year, holidays[year])
		}
	}
}

func TestAnotherPolicyCanBeChosenForAPreview(t *testing.T) {
	p, err := places.LoadUnder(thurrock(t), "policy-all-residents.json")
	if err != nil {
		t.Fatal(err)
	}
	if p.PolicyVersion != "thurrock-all-residents-1" {
		t.Errorf("policy version %q", p.PolicyVersion)
	}
}

func TestUnknownPlaceSaysWhatToDo(t *testing.T) {
	_, err := places.Embedded("atlantis")
	if err == nil || !strings.Contains(err.Error(), "add the folder places/atlantis") {
		t.Errorf("error %v", err)
	}
}

func TestWrongDataIsRefusedWithFileLineAndWhatToDo(t *testing.T) {
	tests := []struct {
		name, file, old, new string
		want                 []string
	}{
		{"practice twice at once", "practices.csv", "F81134,", "F81010,", []string{"practices.csv line 3: practice F81010 has another row", "end the earlier row (valid_to)"}},
		{"unreadable date", "practices.csv", "2019-07-01,2019-11-30", "2019-07-01,30/11/2019", []string{`practices.csv line 29: valid_to: "30/11/2019" is not a date: write it as YYYY-MM-DD`}},
		{"date that the calendar does not have", "holidays.csv", "2025-04-18", "2025-02-30", []string{"holidays.csv line 3: date:", "is not a date"}},
		{"end before beginning", "practices.csv", "2019-07-01,2019-11-30", "2019-07-01,2018-11-30", []string{"valid_to 2018-11-30 is before valid_from 2019-07-01"}},
		{"organisation that is no practice", "practices.csv", "F81134,", "Y07491,", []string{"practices.csv line 3: Y07491 is not a GP practice (hub of a primary care network"}},
		{"unknown network", "practices.csv", "U28765", "U99999", []string{`network "U99999" is not in pcns.csv`}},
		{"practice code with blanks", "practices.csv", "F81134,", "F8 1134,", []string{"is not an ODS code"}},
		{"unknown team of a network", "pcns.csv", "CLS-TC", "CLS-TX", []string{`pcns.csv line 5: team "CLS-TX" is not in teams.csv`}},
		{"unknown team of a postcode", "postcodes.csv", "RM17,thurrock,CLS-GRAYS", "RM17,thurrock,CLS-GRAY", []string{`team "CLS-GRAY" is not in teams.csv`}},
		{"our postcode without a team", "postcodes.csv", "RM17,thurrock,CLS-GRAYS", "RM17,thurrock,", []string{"RM17 is ours but has no team"}},
		{"unknown council", "postcodes.csv", "RM17,thurrock", "RM17,thurok", []string{`council "thurok" is not in councils.csv`}},
		{"full postcode", "postcodes.csv", "RM17,", "RM17 5AA,", []string{"is neither a district (RM17) nor a sector (RM17 5)"}},
		{"postcode twice at once", "postcodes.csv", "RM18,thurrock,CLS-TC", "RM17,thurrock,CLS-TC", []string{"postcode RM17 has another row"}},
		{"a comma too many", "teams.csv", "CLS team Grays", "CLS team, Grays", []string{"teams.csv line 3: 3 fields instead of 2"}},
		{"an open quote", "teams.csv", "CLS team Grays", `"CLS team Grays`, []string{"teams.csv:", "correct the quotes or commas"}},
		{"missing column", "teams.csv", "team,name", "key,name", []string{`teams.csv line 1: the column "team" is missing`}},
		{"hub without a team", "place.json", `"HUB"`, `"DESK"`, []string{`hub "DESK" is not in teams.csv`}},
		{"unknown zone", "place.json", "Europe/London", "Europe/Grays", []string{`zone "Europe/Grays" is unknown`}},
		{"unknown name in settings", "place.json", `"key"`, `"keys"`, []string{"place.json line", "unknown field"}},
		{"unknown record", "place.json", `"homeward"`, `"paper"`, []string{`assessment_record "paper" is unknown`}},
		{"holidays beyond what is known", "place.json", "2028-12-31", "2027-12-31", []string{"is after holidays_through"}},
		{"unknown condition", "policy.json", `["died"]`, `["dead"]`, []string{`policy.json row 1 (died): the condition "dead" is unknown`}},
		{"unknown verdict", "policy.json", `"then": "due"`, `"then": "perhaps"`, []string{`then "perhaps" is unknown`}},
		{"row that decides everything", "policy.json", `["died"]`, `[]`, []string{"when is empty"}},
		{"threshold of nothing", "policy.json", `"pick_up_days": 42`, `"pick_up_days": 0`, []string{"pick_up_days is 0"}},
		{"broken JSON", "policy.json", `"thresholds": [`, `"thresholds": `, []string{"policy.json line", "correct it"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			folder := thurrock(t)
			before := string(folder[tt.file].Data)
			after := strings.Replace(before, tt.old, tt.new, 1)
			if after == before {
				t.Fatalf("%q is not in %s", tt.old, tt.file)
			}
			folder[tt.file] = &fstest.MapFile{Data: []byte(after)}
			_, err := places.Load(folder)
			if err == nil {
				t.Fatal("loaded")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error lacks %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestMissingFileIsNamed(t *testing.T) {
	for _, file := range []string{"place.json", "teams.csv", "councils.csv", "pcns.csv", "not_practices.csv", "practices.csv", "postcodes.csv", "holidays.csv", "policy.json"} {
		folder := thurrock(t)
		delete(folder, file)
		_, err := places.Load(folder)
		if err == nil || !strings.Contains(err.Error(), file+": can't be read") {
			t.Errorf("%s: error %v", file, err)
		}
	}
}

func TestRowsOfOnePracticeMayFollowOneAnother(t *testing.T) {
	folder := thurrock(t)
	text := strings.Replace(string(folder["practices.csv"].Data),
		"F81155,Balfour Medical Centre,RM17 5NS,U68127,2019-07-01,,",
		"F81155,Balfour Medical Centre,RM17 5NS,U06243,2026-07-01,,moved\nF81155,Balfour Medical Centre,RM17 5NS,U68127,2019-07-01,2026-06-30,", 1)
	folder["practices.csv"] = &fstest.MapFile{Data: []byte(text)}
	p, err := places.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	rows := p.Practices["F81155"]
	if len(rows) != 2 || rows[0].PCN != "U68127" || rows[1].PCN != "U06243" || rows[1].From != pickup.Date("2026-07-01") {
		t.Errorf("rows %+v", rows)
	}
}
