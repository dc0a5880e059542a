package discharge

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSpellIDsAreForEver(t *testing.T) {
	admitted := time.Date(2026, 8, 25, 9, 15, 0, 0, time.FixedZone("BST", 3600))
	visit := SpellID("RAJ", "SPELL0001", "1234567", admitted)
	if want := "e33e3548-e501-5db0-8d10-6c525d24fe7c"; visit != want {
		t.Errorf("spell id is %s, and was %s", visit, want)
	}
	if got := SpellID("RAJ", "SPELL0001", "", time.Time{}); got != visit {
		t.Error("patient number or admission change the id of a spell with a visit number")
	}
	patient := SpellID("RAJ", "", "1234567", admitted)
	if patient == "" || patient != SpellID("RAJ", "", "1234567", admitted.UTC()) {
		t.Errorf("by patient number: %q", patient)
	}
	others := map[string]string{
		"another provider": SpellID("RF4", "SPELL0001", "", admitted), "another visit": SpellID("RAJ", "SPELL0002", "", admitted),
		"by patient": patient, "another admission": SpellID("RAJ", "", "1234567", admitted.Add(time.Minute)),
	}
	seen := map[string]string{visit: "the first"}
	for name, id := range others {
		if seen[id] != "" {
			t.Errorf("%s has the id of %s", name, seen[id])
		}
		seen[id] = name
	}
	for name, id := range map[string]string{
		"no provider": SpellID("", "SPELL0001", "", admitted), "no admission": SpellID("RAJ", "", "1234567", time.Time{}), "no patient": SpellID("RAJ", "", "", admitted),
	} {
		if id != "" {
			t.Errorf("%s has an id", name)
		}
	}
}

func TestAStayIsOneProvidersWhateverItsVisitNumber(t *testing.T) {
	keys := func(provider, visit string) []string {
		return StayKeys(Fact{Provider: provider, VisitNumber: visit, PatientNumber: "1234567", AdmittedAt: Tell(Moment{At: newYear()})}, nil)
	}
	if first := keys("RAJ", "V1"); len(first) != 1 || !slices.Equal(first, keys("RAJ", "V2")) || slices.Equal(first, keys("RF4", "V1")) {
		t.Errorf("%v, %v and %v", first, keys("RAJ", "V2"), keys("RF4", "V1"))
	}
}

func TestReferencesAreShortAndReadBack(t *testing.T) {
	form := regexp.MustCompile(`^HW-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$`)
	rapid.Check(t, func(t *rapid.T) {
		ref := Reference(rapid.String().Draw(t, "id"))
		if !form.MatchString(ref) || NormalReference(ref) != ref {
			t.Fatalf("reference %s", ref)
		}
	})
	if a, b := Reference("a"), Reference("b"); a == b {
		t.Errorf("%s twice", a)
	}
	for in, want := range map[string]string{
		"hw 7k3m 9qpd": "HW-7K3M-9QPD", "HW7K3M9QPD": "HW-7K3M-9QPD", "hw-oil0-1234": "HW-0110-1234",
		"": "", "HW-7K3M": "", "XX-7K3M-9QPD": "", "HW-7K3M-9QPU": "", "HW-7K3M-9QPDX": "",
	} {
		if got := NormalReference(in); got != want {
			t.Errorf("NormalReference(%q) = %q, want %q", in, got, want)
		}
	}
}
