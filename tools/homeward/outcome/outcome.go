// Package outcome tells, dry, what community-pickup's rules would decide about spells: to check a feed before it is live, and to see what
// another policy or mapping would change.
package outcome

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
)

// Outcome is what decides about one pick-up; nothing in it is about who the person is.
type Outcome struct {
	SpellID, Reference  string
	Outcome             pickup.Outcome
	Reason, ReasonText  string
	Team, RouteText     string
	DischargedOn, DueOn pickup.Date
	Priority            pickup.Priority
	Flags               []string
}

// Decide is what the rules of a place say of a spell that nobody has worked yet.
func Decide(p pickup.Place, s discharge.Spell) (Outcome, error) {
	in := pickup.Inputs{Spell: spell(s)}
	if err := in.Validate(); err != nil {
		return Outcome{}, err
	}
	// The moment only stamps what is recorded; the outcome does not depend on it.
	t := pickup.Decide(p, nil, in, time.Unix(0, 0))
	return Outcome{
		SpellID: s.SpellID, Reference: s.Reference, Outcome: t.Outcome, Reason: t.Reason, ReasonText: t.ReasonText, Team: t.Team, RouteText: t.Route.Text,
		DischargedOn: t.DischargedOn, DueOn: t.DueOn, Priority: t.Priority, Flags: t.Flags,
	}, nil
}

// spell is the domain's spell of one service as the other's: what the contract between them carries, in the same words.
func spell(s discharge.Spell) *pickup.Spell {
	out := &pickup.Spell{
		Stamp: pickup.Stamp{Epoch: 1, Version: 1}, SpellID: s.SpellID, Reference: s.Reference, Scope: pickup.Scope(s.Scope), Status: pickup.SpellStatus(s.Status),
		Practice: s.PracticeCode, PracticeLater: s.PracticeCodeLater, HomeSector: s.HomePostcodeSector, HomeSectorLater: s.HomePostcodeSectorLater,
		NoAbode: s.NoFixedAbode, DestSector: s.DestinationPostcodeSector, Adult: pickup.Adult(s.Adult), Death: pickup.Death(s.Death),
		Pathway: pickup.Pathway(s.Pathway), Flags: s.Flags, DataVersion: s.DataVersion,
	}
	for _, i := range s.Involvements {
		out.Involved = append(out.Involved, pickup.Involvement(i))
	}
	if d := s.Discharge; d != nil {
		out.Discharge = &pickup.Discharge{At: d.At, Method: d.Method, Destination: d.Destination, Number: d.Number}
	}
	return out
}

// DecideProto is Decide of a published spell.
func DecideProto(p pickup.Place, s *dischargev1.Spell) (Outcome, error) {
	in := discharge.Spell{
		SpellID: s.GetSpellId(), Reference: s.GetReference(), Scope: scopes[s.GetScope()], Status: statuses[s.GetStatus()],
		PracticeCode: s.GetPracticeCode(), PracticeCodeLater: s.GetPracticeCodeLater(), HomePostcodeSector: s.GetHomePostcodeSector(),
		HomePostcodeSectorLater: s.GetHomePostcodeSectorLater(), NoFixedAbode: s.GetNoFixedAbode(), DestinationPostcodeSector: s.GetDestinationPostcodeSector(),
		Adult: adults[s.GetAdult()], Death: deaths[s.GetDeath()], Flags: s.GetFlags(), DataVersion: s.GetDataVersion(),
	}
	if p := s.GetPathway(); p != 0 {
		in.Pathway = string(rune('0' + int32(p) - 1))
	}
	for _, i := range s.GetInvolvements() {
		in.Involvements = append(in.Involvements, involvements[i])
	}
	if d := s.GetDischarge(); d != nil {
		in.Discharge = &discharge.Discharge{At: d.GetAt().AsTime(), On: d.GetOn(), Method: d.GetMethod(), Destination: d.GetDestination(), Number: int(d.GetNumber())}
	}
	return Decide(p, in)
}

var (
	scopes = map[dischargev1.Scope]discharge.Scope{
		dischargev1.Scope_SCOPE_SOCIAL_CARE: discharge.ScopeSocialCare, dischargev1.Scope_SCOPE_WHOLE_HOSPITAL: discharge.ScopeWholeHospital,
	}
	statuses = map[dischargev1.SpellStatus]discharge.Status{
		dischargev1.SpellStatus_SPELL_STATUS_IN_HOSPITAL: discharge.InHospital, dischargev1.SpellStatus_SPELL_STATUS_DISCHARGED: discharge.Discharged,
		dischargev1.SpellStatus_SPELL_STATUS_VOIDED: discharge.Voided,
	}
	adults = map[dischargev1.Adult]discharge.Adult{
		dischargev1.Adult_ADULT_YES: discharge.AdultYes, dischargev1.Adult_ADULT_NO: discharge.AdultNo, dischargev1.Adult_ADULT_UNKNOWN: discharge.AdultUnknown,
	}
	deaths = map[dischargev1.Death]discharge.Death{
		dischargev1.Death_DEATH_NONE: discharge.DeathNone, dischargev1.Death_DEATH_DIED: discharge.DeathDied,
		dischargev1.Death_DEATH_CONTRADICTORY: discharge.DeathContradictory,
	}
	involvements = map[dischargev1.Involvement]discharge.Involvement{
		dischargev1.Involvement_INVOLVEMENT_HUB_REFERRAL: discharge.HubReferral, dischargev1.Involvement_INVOLVEMENT_COUNCIL_PACKAGE: discharge.CouncilPackage,
		dischargev1.Involvement_INVOLVEMENT_PATHWAY: discharge.OnPathway,
	}
)

// Spells folds facts into their spells, by id.
func Spells(facts []discharge.Fact) []discharge.Spell {
	bySpell := map[string][]discharge.Fact{}
	for _, f := range facts {
		bySpell[f.SpellID] = append(bySpell[f.SpellID], f)
	}
	var spells []discharge.Spell
	for _, of := range bySpell {
		spells = append(spells, discharge.Fold(of).Spell)
	}
	slices.SortFunc(spells, func(a, b discharge.Spell) int { return cmp.Compare(a.SpellID, b.SpellID) })
	return spells
}

// Difference is one spell that two ways of deciding decide differently.
type Difference struct {
	Before, After Outcome
	// What differs, in words.
	What []string
}

// Compare tells what differs between two outcomes of a spell; nil when nothing that anybody acts on does.
func Compare(before, after Outcome) *Difference {
	d := Difference{Before: before, After: after}
	add := func(name string, from, to any) {
		if from != to {
			d.What = append(d.What, fmt.Sprintf("%s %v -> %v", name, orNone(from), orNone(to)))
		}
	}
	add("outcome", before.Outcome, after.Outcome)
	add("reason", before.Reason, after.Reason)
	add("team", before.Team, after.Team)
	add("due", before.DueOn, after.DueOn)
	add("priority", before.Priority, after.Priority)
	if d.What == nil {
		return nil
	}
	return &d
}

func orNone(v any) string {
	if text := fmt.Sprint(v); text != "" {
		return text
	}
	return "none"
}
