package pickup_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/community-pickup/places"
)

type want struct {
	outcome pickup.Outcome
	reason  string
	team    string
}

func check(t *testing.T, task pickup.Task, w want) {
	t.Helper()
	got := want{task.Outcome, task.Reason, task.Team}
	if got != w {
		t.Errorf("got %+v, want %+v\n%s", got, w, task.ReasonText)
	}
	if task.ReasonText == "" {
		t.Error("the reason is not put in words")
	}
}

func TestIsAPickUpDue(t *testing.T) {
	p := thurrock(t)
	hub := func(reason string) want { return want{pickup.PickUpDue, reason, "HUB"} }
	grays := func(reason string) want { return want{pickup.PickUpDue, reason, "CLS-GRAYS"} }
	notDue := func(reason string) want { return want{pickup.NotDue, reason, ""} }
	elsewhere := want{pickup.InAnotherHospital, "other-hospital", "HUB"}
	uninvolved := notDue("no-social-care-involvement-known")
	type change = func(*pickup.Spell)
	tests := []struct {
		name    string
		changes []change
		want    want
	}{
		{"expected, or in a clinic", []change{backInHospital, func(s *pickup.Spell) { s.Status = pickup.SpellNotAdmitted }}, want{pickup.InHospital, "not-admitted", ""}},
		{"in hospital", []change{backInHospital}, want{pickup.InHospital, "in-hospital", ""}},
		{"voided", []change{func(s *pickup.Spell) { s.Status = pickup.SpellVoided; s.Discharge = nil }}, notDue("voided")},
		{"voided comes before died", []change{func(s *pickup.Spell) { s.Status = pickup.SpellVoided }, death(pickup.DeathDied)}, notDue("voided")},
		{"died", []change{death(pickup.DeathDied)}, notDue("died")},
		{"died comes before under 18", []change{death(pickup.DeathDied), adult(pickup.AdultNo)}, notDue("died")},
		{"facts about death contradict", []change{death(pickup.DeathContradictory)}, grays("social-care-feed")},
		{"under 18", []change{adult(pickup.AdultNo)}, hub("under-18")},
		{"under 18 and uninvolved", []change{adult(pickup.AdultNo), wholeHospital}, hub("under-18")},
		{"under 18 comes before another hospital", []change{adult(pickup.AdultNo), destination("51")}, hub("under-18")},
		{"age unknown", []change{adult(pickup.AdultUnknown)}, grays("social-care-feed")},
		{"age not told", []change{adult("")}, grays("social-care-feed")},
		{"social-care feed", nil, grays("social-care-feed")},
		{"whole-hospital feed, uninvolved", []change{wholeHospital}, uninvolved},
		{"council package", []change{wholeHospital, councilPackage}, grays("involved")},
		{"hub referral", []change{wholeHospital, func(s *pickup.Spell) { s.Involved = []pickup.Involvement{pickup.InvolvedHubReferral} }}, grays("involved")},
		{"pathway told as involvement", []change{wholeHospital, func(s *pickup.Spell) { s.Involved = []pickup.Involvement{pickup.InvolvedPathway} }}, grays("involved")},
		{"pathway 0", []change{wholeHospital, func(s *pickup.Spell) { s.Pathway = "0" }}, uninvolved},
		{"pathway 1", []change{wholeHospital, func(s *pickup.Spell) { s.Pathway = "1" }}, grays("involved")},
		{"pathway 2", []change{wholeHospital, func(s *pickup.Spell) { s.Pathway = "2" }}, grays("involved")},
		{"pathway 3", []change{wholeHospital, func(s *pickup.Spell) { s.Pathway = "3" }}, grays("involved")},
		{"pathway 0 does not exclude an involved person", []change{wholeHospital, councilPackage, func(s *pickup.Spell) { s.Pathway = "0" }}, grays("involved")},
		{"self-discharge, 6", []change{method("6")}, grays("social-care-feed")},
		{"self-discharge by a relative, 7", []change{method("7"), wholeHospital, councilPackage}, grays("involved")},
		{"self-discharge, retired code 2", []change{method("2")}, grays("social-care-feed")},
		{"blank method", []change{method("")}, grays("social-care-feed")},
		{"unknown codes delay nothing", []change{method("X"), destination("??")}, grays("social-care-feed")},
		{"another hospital on a social-care feed", []change{destination("51")}, elsewhere},
		{"another hospital, 49", []change{destination("49"), wholeHospital, councilPackage}, elsewhere},
		{"another hospital, 50", []change{destination("50")}, elsewhere},
		{"another hospital, 52", []change{destination("52")}, elsewhere},
		{"another hospital, 53", []change{destination("53")}, elsewhere},
		{"another hospital, 84", []change{destination("84")}, elsewhere},
		{"another hospital, 87", []change{destination("87")}, elsewhere},
		{"another hospital, uninvolved", []change{destination("51"), wholeHospital}, uninvolved},
		{"another hospital comes before out of area", []change{destination("51"), home("SE1 7"), practice("G85001")}, elsewhere},
		{"care home is not a hospital, 54", []change{destination("54")}, grays("social-care-feed")},
		{"care home is not a hospital, 85", []change{destination("85")}, grays("social-care-feed")},
		{"scope not told, uninvolved: no row decides", []change{func(s *pickup.Spell) { s.Scope = "" }}, hub("no-policy-row")},
		{"out of area, uninvolved", []change{wholeHospital, home("SE1 7"), practice("G85001")}, notDue("appears-out-of-area")},
		{"out of area, involved", []change{wholeHospital, councilPackage, home("SE1 7"), practice("G85001")}, hub("out-of-area-involved")},
		{"out of area on a social-care feed", []change{home("SE1 7"), practice("G85001")}, hub("out-of-area-involved")},
		{"residence unclear, involved", []change{home("SE1 7")}, hub("residence-unclear")},
		{"residence unclear, uninvolved", []change{wholeHospital, home("SE1 7")}, uninvolved},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, decide(t, p, discharged(t, tt.changes...)), tt.want)
		})
	}
}

func TestAssessmentAndReablementAreInvolvement(t *testing.T) {
	p := thurrock(t)
	due := want{pickup.PickUpDue, "involved", "CLS-GRAYS"}
	not := want{pickup.NotDue, "no-social-care-involvement-known", ""}
	tests := []struct {
		name string
		in   pickup.Inputs
		want want
	}{
		{"assessment requested", pickup.Inputs{Assessment: assessment(1, pickup.AssessmentRequested, 0)}, due},
		{"assessment complete", pickup.Inputs{Assessment: assessment(1, pickup.AssessmentComplete, 0)}, due},
		{"assessment declined", pickup.Inputs{Assessment: assessment(1, pickup.AssessmentDeclined, 0)}, due},
		{"assessment superseded", pickup.Inputs{Assessment: assessment(1, pickup.AssessmentSuperseded, 0)}, not},
		{"reablement requested", pickup.Inputs{Need: need(1, pickup.NeedRequested, "")}, due},
		{"reablement started", pickup.Inputs{Need: need(1, pickup.NeedStarted, "2026-10-01")}, due},
		{"reablement withdrawn", pickup.Inputs{Need: need(1, pickup.NeedWithdrawn, "")}, not},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Spell = discharged(t, wholeHospital)
			check(t, decideAt(t, p, nil, tt.in, "2026-09-02T14:35"), tt.want)
		})
	}
}

func TestAPolicyHoldsForTheDischargesOfItsTime(t *testing.T) {
	p := thurrock(t)
	everybody := pickup.PolicyRow{
		Span: pickup.Span{From: "2026-09-03", To: "2026-09-04"}, Code: "trial", When: []pickup.Condition{pickup.WhenWholeHospital}, Then: pickup.ThenDue, Text: "Trial.",
	}
	p.Policy = slices.Insert(slices.Clone(p.Policy), 0, everybody)
	for day, reason := range map[string]string{
		"2026-09-02T23:59": "no-social-care-involvement-known", "2026-09-03T00:00": "trial",
		"2026-09-04T23:59": "trial", "2026-09-05T00:00": "no-social-care-involvement-known",
	} {
		task := decideAt(t, p, nil, pickup.Inputs{Spell: discharged(t, wholeHospital, at(t, day, 1))}, day)
		if task.Reason != reason {
			t.Errorf("discharged at %s: %s, want %s", day, task.Reason, reason)
		}
	}
}

func TestThresholdsHoldForTheDischargesOfTheirTime(t *testing.T) {
	p := thurrock(t)
	early, late := p.Thresholds[0], p.Thresholds[0]
	early.To, late.From, late.PickUpDays = "2026-09-02", "2026-09-03", 28
	p.Thresholds = []pickup.Thresholds{early, late}
	for day, due := range map[string]pickup.Date{"2019-01-01T12:00": "2019-02-12", "2026-09-02T23:59": "2026-10-14", "2026-09-03T00:00": "2026-10-01"} {
		if task := decideAt(t, p, nil, pickup.Inputs{Spell: discharged(t, at(t, day, 1))}, day); task.DueOn != due {
			t.Errorf("discharged at %s: due on %s, want %s", day, task.DueOn, due)
		}
	}
}

func TestAllResidentsCanBeChosen(t *testing.T) {
	p, err := places.LoadUnder(os.DirFS("../places/thurrock"), "policy-all-residents.json")
	if err != nil {
		t.Fatal(err)
	}
	check(t, decide(t, p, discharged(t, wholeHospital)), want{pickup.PickUpDue, "resident", "CLS-GRAYS"})
	check(t, decide(t, p, discharged(t, wholeHospital, home("SE1 7"))), want{pickup.PickUpDue, "residence-unclear-uninvolved", "HUB"})
	check(t, decide(t, p, discharged(t, wholeHospital, home("SE1 7"), practice("G85001"))), want{pickup.NotDue, "appears-out-of-area", ""})
	check(t, decide(t, p, discharged(t, wholeHospital, councilPackage)), want{pickup.PickUpDue, "involved", "CLS-GRAYS"})
}

func TestOurs(t *testing.T) {
	p := thurrock(t)
	const ours, unclear, away = "social-care-feed", "residence-unclear", "out-of-area-involved"
	tests := []struct {
		name, home, practice string
		noAbode              bool
		reason, team         string
		flags                []string
	}{
		{"home ours, practice ours", "RM17 5", "F81155", false, ours, "CLS-GRAYS", nil},
		{"home ours, practice elsewhere", "RM17 5", "G85001", false, ours, "CLS-GRAYS", []string{"practice-not-in-directory"}},
		{"home ours, practice not told", "RM17 5", "", false, ours, "CLS-GRAYS", nil},
		{"home elsewhere, practice ours", "SE1 7", "F81155", false, unclear, "HUB", nil},
		{"home elsewhere, closed practice ours", "SE1 7", "F81084", false, unclear, "HUB", []string{"practice-closed"}},
		{"home elsewhere, practice elsewhere", "SE1 7", "G85001", false, away, "HUB", []string{"practice-not-in-directory"}},
		{"home elsewhere, practice not told", "SE1 7", "", false, away, "HUB", []string{"practice-missing"}},
		{"home of a neighbour by the table", "RM11 1", "G85001", false, away, "HUB", []string{"practice-not-in-directory"}},
		{"home on the edge", "RM14 3", "F81155", false, unclear, "HUB", nil},
		{"home beside the edge", "RM14 2", "G85001", false, away, "HUB", []string{"practice-not-in-directory"}},
		{"West Horndon with its branch surgery", "CM13 3", "F81134", false, unclear, "HUB", nil},
		{"home not told, practice ours", "", "F81155", false, ours, "CLS-GRAYS", []string{"home-postcode-missing"}},
		{"home not told, practice elsewhere", "", "G85001", false, unclear, "HUB", []string{"home-postcode-missing", "practice-not-in-directory"}},
		{"neither told", "", "", false, unclear, "HUB", []string{"home-postcode-missing", "practice-missing"}},
		{"pseudo postcode counts as not told", "ZZ99 3", "F81155", false, ours, "CLS-GRAYS", []string{"home-postcode-missing"}},
		{"not registered counts as practice not told", "RM17 5", "V81997", false, ours, "CLS-GRAYS", []string{"practice-not-a-gp-practice"}},
		{"hub of a network is not a practice", "", "Y07507", false, unclear, "HUB", []string{"home-postcode-missing", "practice-missing", "practice-not-a-gp-practice"}},
		{"no fixed abode", "", "F81155", true, unclear, "HUB", []string{"no-fixed-abode"}},
		{"no fixed abode, with a home postcode", "RM17 5", "F81155", true, unclear, "HUB", []string{"no-fixed-abode"}},
		{"codes as hospitals write them", " rm17  5", "f81155 ", false, ours, "CLS-GRAYS", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			task := decide(t, p, discharged(t, home(tt.home), practice(tt.practice), func(s *pickup.Spell) { s.NoAbode = tt.noAbode }))
			check(t, task, want{pickup.PickUpDue, tt.reason, tt.team})
			if diff := cmp.Diff(tt.flags, task.Flags); diff != "" {
				t.Errorf("flags (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOutOfAreaNamesTheCouncilToTell(t *testing.T) {
	task := decide(t, thurrock(t), discharged(t, home("RM11 1"), practice("G85001")))
	if !strings.Contains(task.ReasonText, "tells Havering Council") {
		t.Errorf("reason: %s", task.ReasonText)
	}
}

func TestWhichTeam(t *testing.T) {
	p := thurrock(t)
	tests := []struct {
		name, practice, destination, home string
		team, rule, input, pcn            string
		flags                             []string
	}{
		{"practice of ASOP", "F81010", "", "RM15 4", "CLS-ASOP", "practice", "F81010", "U28765", nil},
		{"practice of Grays", "F81155", "", "RM17 5", "CLS-GRAYS", "practice", "F81155", "U68127", nil},
		{"practice of Stanford-le-Hope", "F81137", "", "RM16 3", "CLS-SLH", "practice", "F81137", "U98530", nil},
		{"practice of Tilbury and Chadwell", "F81082", "", "RM18 8", "CLS-TC", "practice", "F81082", "U06243", nil},
		{"dormant practice counts as any other", "F81218", "", "RM18 7", "CLS-GRAYS", "practice", "F81218", "U68127", nil},
		{"practice wins over destination and home", "F81155", "SS17 0", "RM18 7", "CLS-GRAYS", "practice", "F81155", "U68127", nil},
		{"closed practice, Chadwell", "F81084", "", "RM17 5", "CLS-TC", "practice-closed", "F81084", "U06243", []string{"practice-closed"}},
		{"closed practice, Dilip Sabnis", "F81698", "", "RM17 5", "CLS-TC", "practice-closed", "F81698", "U06243", []string{"practice-closed"}},
		{"closed practice, Ash Tree", "F81644", "", "RM17 5", "CLS-SLH", "practice-closed", "F81644", "U98530", []string{"practice-closed"}},
		{"closed practice, East Tilbury", "F81691", "", "RM17 5", "CLS-TC", "practice-closed", "F81691", "U06243", []string{"practice-closed"}},
		{"practice elsewhere: destination", "G85001", "SS17 0", "RM17 5", "CLS-SLH", "destination-postcode", "SS17 0", "", []string{"practice-not-in-directory"}},
		{"no practice: destination", "", "RM16 4", "RM17 5", "CLS-TC", "destination-postcode", "RM16 4", "", nil},
		{"no practice, destination elsewhere: home", "", "SE1 7", "RM17 5", "CLS-GRAYS", "home-postcode", "RM17 5", "", nil},
		{"no practice, destination at a neighbour's: home", "", "RM11 1", "RM17 5", "CLS-GRAYS", "home-postcode", "RM17 5", "", nil},
		{"no practice, destination of two teams", "", "RM20 1", "RM17 5", "HUB", "hub", "RM20 1", "", nil},
		{"no practice: home sectors of RM16", "", "", "RM16 2", "CLS-GRAYS", "home-postcode", "RM16 2", "", nil},
		{"no practice: Chafford Hundred", "", "", "RM16 6", "CLS-GRAYS", "home-postcode", "RM16 6", "", nil},
		{"no practice: Orsett", "", "", "RM16 3", "CLS-SLH", "home-postcode", "RM16 3", "", nil},
		{"no practice: Chadwell St Mary", "", "", "RM16 4", "CLS-TC", "home-postcode", "RM16 4", "", nil},
		{"no practice: other sector of RM16", "", "", "RM16 5", "HUB", "hub", "RM16 5", "", nil},
		{"no practice: South Ockendon", "", "", "RM15 6", "CLS-ASOP", "home-postcode", "RM15 6", "", nil},
		{"no practice: Purfleet", "", "", "RM19 1", "CLS-ASOP", "home-postcode", "RM19 1", "", nil},
		{"no practice: West Thurrock", "", "", "RM20 3", "HUB", "hub", "RM20 3", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			task := decide(t, p, discharged(t, practice(tt.practice), destinationSector(tt.destination), home(tt.home)))
			check(t, task, want{pickup.PickUpDue, "social-care-feed", tt.team})
			r := task.Route
			if r.Rule != tt.rule || r.Input != tt.input || r.PCN != tt.pcn || r.Text == "" || r.DirectoryVersion != p.DirectoryVersion {
				t.Errorf("route %+v, want %s by %q, network %q", r, tt.rule, tt.input, tt.pcn)
			}
			if diff := cmp.Diff(tt.flags, task.Flags); diff != "" {
				t.Errorf("flags (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheDirectoryCountsAsItStoodOnTheDischargeDate(t *testing.T) {
	p := thurrock(t)
	p.Practices = map[string][]pickup.Practice{"F81155": {
		{Span: pickup.Span{From: "2019-07-01", To: "2026-09-02"}, Code: "F81155", Name: "Balfour", PCN: "U68127"},
		{Span: pickup.Span{From: "2026-09-03"}, Code: "F81155", Name: "Balfour", PCN: "U06243"},
	}}
	for day, team := range map[string]string{"2026-09-02T23:59": "CLS-GRAYS", "2026-09-03T00:00": "CLS-TC"} {
		task := decideAt(t, p, nil, pickup.Inputs{Spell: discharged(t, at(t, day, 1))}, "2026-12-01T09:00")
		if task.Team != team || task.Route.Rule != "practice" {
			t.Errorf("discharged at %s: %s by %s, want %s by practice", day, task.Team, task.Route.Rule, team)
		}
	}
}

func TestAClosedPracticeIsRoutedByItsLastNetwork(t *testing.T) {
	p := thurrock(t)
	p.Practices = map[string][]pickup.Practice{"F81155": {
		{Span: pickup.Span{From: "2019-07-01", To: "2025-03-31"}, Code: "F81155", Name: "Balfour", PCN: "U68127"},
		{Span: pickup.Span{From: "2025-04-01", To: "2026-03-31"}, Code: "F81155", Name: "Balfour", PCN: "U06243"},
	}}
	check(t, decide(t, p, discharged(t)), want{pickup.PickUpDue, "social-care-feed", "CLS-TC"})
}

func TestWhatIsToldForLaterRoutesNothing(t *testing.T) {
	task := decide(t, thurrock(t), discharged(t, func(s *pickup.Spell) { s.PracticeLater, s.HomeSectorLater = "F81137", "RM16 3" }))
	check(t, task, want{pickup.PickUpDue, "social-care-feed", "CLS-GRAYS"})
	if diff := cmp.Diff([]string{"home-changed-later", "practice-changed-later"}, task.Flags); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
}

func TestPriority(t *testing.T) {
	p := thurrock(t)
	tests := []struct {
		name    string
		spell   *pickup.Spell
		a       *pickup.Assessment
		want    pickup.Priority
		reasons []string
	}{
		{"no assessment changes nothing", discharged(t), nil, "standard", nil},
		{"complete", discharged(t), assessment(1, pickup.AssessmentComplete, 0), "standard", nil},
		{"declined", discharged(t), assessment(1, pickup.AssessmentDeclined, 0), "standard", nil},
		{"requested and unfinished", discharged(t), assessment(1, pickup.AssessmentRequested, 0), "high", []string{"assessment-unfinished"}},
		{"left with unmet conditions", discharged(t), assessment(1, pickup.AssessmentComplete, 2), "high", []string{"left-with-unmet-conditions"}},
		{"superseded", discharged(t), assessment(1, pickup.AssessmentSuperseded, 2), "standard", nil},
		{"self-discharge on a social-care feed", discharged(t, method("6")), nil, "high", []string{"self-discharge-while-involved"}},
		{"self-discharge while involved", discharged(t, method("2"), wholeHospital, councilPackage), nil, "high", []string{"self-discharge-while-involved"}},
		{"all at once", discharged(t, method("7")), assessment(1, pickup.AssessmentRequested, 1), "high", []string{"left-with-unmet-conditions", "assessment-unfinished", "self-discharge-while-involved"}},
		{"not due has none", discharged(t, method("6"), wholeHospital), nil, "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			task := decideAt(t, p, nil, pickup.Inputs{Spell: tt.spell, Assessment: tt.a}, "2026-09-02T14:35")
			if task.Priority != tt.want {
				t.Errorf("priority %q, want %q", task.Priority, tt.want)
			}
			if diff := cmp.Diff(tt.reasons, task.PriorityReasons); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}
