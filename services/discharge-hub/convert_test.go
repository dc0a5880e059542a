package dischargehub

import (
	"bytes"
	"testing"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
)

// A new version is published when the bytes differ, so every difference of a spell must be in them, and nothing else.
func TestEveryDifferenceOfASpellIsInItsPublishedBytes(t *testing.T) {
	published := func(change func(*discharge.Spell)) []byte {
		s := discharge.Spell{
			SpellID: "a", Reference: "b", Provider: "RAJ", Feed: "c", Scope: discharge.ScopeSocialCare, Status: discharge.Discharged, AdmittedAt: day(1, 9),
			Discharge: &discharge.Discharge{At: day(2, 14), On: "2026-09-02", Method: "1", Destination: "19", Number: 1}, Site: "RAJ12", PracticeCode: "F81155",
			HomePostcodeSector: "RM17 5", Adult: discharge.AdultYes, Death: discharge.DeathNone, Flags: []string{"f"}, DataVersion: "1",
		}
		change(&s)
		data, err := marshalSpell(s)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	base := published(func(*discharge.Spell) {})
	if !bytes.Equal(base, published(func(*discharge.Spell) {})) {
		t.Error("the same spell has other bytes")
	}
	for name, change := range map[string]func(*discharge.Spell){
		"id":           func(s *discharge.Spell) { s.SpellID = "x" },
		"reference":    func(s *discharge.Spell) { s.Reference = "x" },
		"provider":     func(s *discharge.Spell) { s.Provider = "x" },
		"feed":         func(s *discharge.Spell) { s.Feed = "x" },
		"scope":        func(s *discharge.Spell) { s.Scope = discharge.ScopeWholeHospital },
		"status":       func(s *discharge.Spell) { s.Status = discharge.InHospital },
		"admission":    func(s *discharge.Spell) { s.AdmittedAt = s.AdmittedAt.Add(1) },
		"no discharge": func(s *discharge.Spell) { s.Discharge = nil },
		"time":         func(s *discharge.Spell) { s.Discharge.At = s.Discharge.At.Add(1) },
		"expected":     func(s *discharge.Spell) { s.ExpectedDischargeOn = "2026-09-02" },
		"criteria":     func(s *discharge.Spell) { s.CriteriaToReside = discharge.CriteriaMet },
		"ready":        func(s *discharge.Spell) { s.ReadyOn = "2026-09-02" },
		"date":         func(s *discharge.Spell) { s.Discharge.On = "x" },
		"method":       func(s *discharge.Spell) { s.Discharge.Method = "x" },
		"destination":  func(s *discharge.Spell) { s.Discharge.Destination = "x" },
		"number":       func(s *discharge.Spell) { s.Discharge.Number++ },
		"site":         func(s *discharge.Spell) { s.Site = "x" },
		"practice":     func(s *discharge.Spell) { s.PracticeCode = "x" },
		"later":        func(s *discharge.Spell) { s.PracticeCodeLater = "x" },
		"sector":       func(s *discharge.Spell) { s.HomePostcodeSector = "x" },
		"later sector": func(s *discharge.Spell) { s.HomePostcodeSectorLater = "x" },
		"abode":        func(s *discharge.Spell) { s.NoFixedAbode = true },
		"going to":     func(s *discharge.Spell) { s.DestinationPostcodeSector = "x" },
		"adult":        func(s *discharge.Spell) { s.Adult = discharge.AdultNo },
		"death":        func(s *discharge.Spell) { s.Death = discharge.DeathDied },
		"involvements": func(s *discharge.Spell) { s.Involvements = []discharge.Involvement{discharge.HubReferral} },
		"pathway":      func(s *discharge.Spell) { s.Pathway = "1" },
		"flags":        func(s *discharge.Spell) { s.Flags = []string{"x"} },
		"data version": func(s *discharge.Spell) { s.DataVersion = "x" },
	} {
		if bytes.Equal(base, published(change)) {
			t.Errorf("%s: no difference is published", name)
		}
	}
}
