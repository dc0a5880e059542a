package dischargehub

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
)

// The tables between the domain's words and the contract's.
var (
	scopes = map[discharge.Scope]dischargev1.Scope{
		discharge.ScopeSocialCare:    dischargev1.Scope_SCOPE_SOCIAL_CARE,
		discharge.ScopeWholeHospital: dischargev1.Scope_SCOPE_WHOLE_HOSPITAL,
	}
	statuses = map[discharge.Status]dischargev1.SpellStatus{
		discharge.InHospital:  dischargev1.SpellStatus_SPELL_STATUS_IN_HOSPITAL,
		discharge.Discharged:  dischargev1.SpellStatus_SPELL_STATUS_DISCHARGED,
		discharge.Voided:      dischargev1.SpellStatus_SPELL_STATUS_VOIDED,
		discharge.NotAdmitted: dischargev1.SpellStatus_SPELL_STATUS_NOT_ADMITTED,
	}
	adults = map[discharge.Adult]dischargev1.Adult{
		discharge.AdultYes:     dischargev1.Adult_ADULT_YES,
		discharge.AdultNo:      dischargev1.Adult_ADULT_NO,
		discharge.AdultUnknown: dischargev1.Adult_ADULT_UNKNOWN,
	}
	deaths = map[discharge.Death]dischargev1.Death{
		discharge.DeathNone:          dischargev1.Death_DEATH_NONE,
		discharge.DeathDied:          dischargev1.Death_DEATH_DIED,
		discharge.DeathContradictory: dischargev1.Death_DEATH_CONTRADICTORY,
	}
	involvements = map[discharge.Involvement]dischargev1.Involvement{
		discharge.HubReferral:    dischargev1.Involvement_INVOLVEMENT_HUB_REFERRAL,
		discharge.CouncilPackage: dischargev1.Involvement_INVOLVEMENT_COUNCIL_PACKAGE,
		discharge.OnPathway:      dischargev1.Involvement_INVOLVEMENT_PATHWAY,
	}
	criteria = map[discharge.CriteriaToReside]dischargev1.CriteriaToReside{
		discharge.CriteriaMet:    dischargev1.CriteriaToReside_CRITERIA_TO_RESIDE_MET,
		discharge.CriteriaNotMet: dischargev1.CriteriaToReside_CRITERIA_TO_RESIDE_NOT_MET,
	}
	pathways = map[string]dischargev1.Pathway{
		"0": dischargev1.Pathway_PATHWAY_0,
		"1": dischargev1.Pathway_PATHWAY_1,
		"2": dischargev1.Pathway_PATHWAY_2,
		"3": dischargev1.Pathway_PATHWAY_3,
	}
)

// marshalSpell writes the published form of a spell. Equal spells give equal bytes: that is how an unchanged one is known.
func marshalSpell(s discharge.Spell) ([]byte, error) {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(spellToProto(s))
	if err != nil {
		return nil, fmt.Errorf("marshal spell %s: %w", s.SpellID, err)
	}
	return data, nil
}

func spellToProto(s discharge.Spell) *dischargev1.Spell {
	p := &dischargev1.Spell{
		SpellId: s.SpellID, Reference: s.Reference, Provider: s.Provider, Feed: s.Feed, Scope: scopes[s.Scope], Status: statuses[s.Status],
		AdmittedAt: timestamp(s.AdmittedAt), Site: s.Site, PracticeCode: s.PracticeCode, PracticeCodeLater: s.PracticeCodeLater,
		HomePostcodeSector: s.HomePostcodeSector, HomePostcodeSectorLater: s.HomePostcodeSectorLater, NoFixedAbode: s.NoFixedAbode,
		DestinationPostcodeSector: s.DestinationPostcodeSector, Adult: adults[s.Adult], Death: deaths[s.Death], Pathway: pathways[s.Pathway],
		Flags: s.Flags, DataVersion: s.DataVersion, ExpectedDischargeOn: s.ExpectedDischargeOn,
		CriteriaToReside: criteria[s.CriteriaToReside], DischargeReadyOn: s.ReadyOn,
	}
	for _, i := range s.Involvements {
		p.Involvements = append(p.Involvements, involvements[i])
	}
	if d := s.Discharge; d != nil {
		p.Discharge = &dischargev1.Discharge{At: timestamp(d.At), On: d.On, Method: d.Method, Destination: d.Destination, Number: int32(d.Number)}
	}
	return p
}

// spellFromProto reads what spellToProto wrote.
func spellFromProto(p *dischargev1.Spell) *discharge.Spell {
	s := &discharge.Spell{
		SpellID: p.GetSpellId(), Reference: p.GetReference(), Provider: p.GetProvider(), Feed: p.GetFeed(), Scope: word(scopes, p.GetScope()),
		Status: word(statuses, p.GetStatus()), AdmittedAt: optionalTime(p.GetAdmittedAt()), Site: p.GetSite(), PracticeCode: p.GetPracticeCode(),
		PracticeCodeLater: p.GetPracticeCodeLater(), HomePostcodeSector: p.GetHomePostcodeSector(), HomePostcodeSectorLater: p.GetHomePostcodeSectorLater(),
		NoFixedAbode: p.GetNoFixedAbode(), DestinationPostcodeSector: p.GetDestinationPostcodeSector(), Adult: word(adults, p.GetAdult()),
		Death: word(deaths, p.GetDeath()), Pathway: word(pathways, p.GetPathway()), Flags: p.GetFlags(), DataVersion: p.GetDataVersion(),
		ExpectedDischargeOn: p.GetExpectedDischargeOn(), CriteriaToReside: word(criteria, p.GetCriteriaToReside()), ReadyOn: p.GetDischargeReadyOn(),
	}
	for _, i := range p.GetInvolvements() {
		s.Involvements = append(s.Involvements, word(involvements, i))
	}
	if d := p.GetDischarge(); d != nil {
		s.Discharge = &discharge.Discharge{At: optionalTime(d.GetAt()), On: d.GetOn(), Method: d.GetMethod(), Destination: d.GetDestination(), Number: int(d.GetNumber())}
	}
	return s
}

// word returns the key of a value; the empty word when the table has none.
func word[K, V comparable](table map[K]V, value V) (key K) {
	for k, v := range table {
		if v == value {
			return k
		}
	}
	return key
}

// timestamp returns nil for the zero time.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func timestampOf(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}

func personToProto(p discharge.Person) *dischargev1.Person {
	out := &dischargev1.Person{
		NhsNumber: p.NHSNumber, FamilyName: p.FamilyName, GivenName: p.GivenName, BirthDate: p.BirthDate, Postcode: p.Postcode,
		PracticeCode: p.Practice, DiedAt: timestamp(p.DiedAt),
	}
	switch p.DeathIndicator {
	case "yes":
		out.DeathIndicator = dischargev1.DeathIndicator_DEATH_INDICATOR_YES
	case "no":
		out.DeathIndicator = dischargev1.DeathIndicator_DEATH_INDICATOR_NO
	}
	return out
}
