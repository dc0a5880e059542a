package discharge

import (
	"slices"
	"time"
)

// Held is a spell of which a restore has lost facts: its newest snapshot came back from those who had it.
type Held struct {
	// Spell is the snapshot; nil where only is known that there was a newer one.
	Spell *Spell
	// Before are the facts that the restored database holds, Since those that came after the restore.
	Before, Since []Fact
	// Recorded is when the hospital recorded the newest fact behind the snapshot.
	Recorded time.Time
}

// Meanwhile is what is published of a held spell until the hospital has sent its messages again: the snapshot, to which is added what new
// facts tell, that is, facts recorded after all that the snapshot rests on: a discharge, and ways of involvement. A death that came since is
// told at once, in whatever order it was recorded. Nothing is taken back, because the fact that said it may be among those that are missing. It
// reports false when there is nothing to publish yet.
func (h Held) Meanwhile() (Spell, bool) {
	all := Fold(slices.Concat(h.Before, h.Since))
	died := all.Spell.Death == DeathDied && Fold(h.Before).Spell.Death != DeathDied
	if h.Spell == nil {
		return all.Spell, died
	}
	s := *h.Spell
	if died {
		s.Death = DeathDied
	}
	var newer []Fact
	for _, f := range h.Since {
		if f.Recorded.After(h.Recorded) {
			newer = append(newer, f)
		}
	}
	if len(newer) == 0 {
		return s, true
	}
	told := Fold(newer).Spell
	if (s.Status == InHospital || s.Status == NotAdmitted) && told.Status == Discharged {
		s.Status, s.Discharge, s.DestinationPostcodeSector = told.Status, told.Discharge, told.DestinationPostcodeSector
		s.ExpectedDischargeOn = ""
		s.Flags = slices.DeleteFunc(slices.Clone(s.Flags), func(flag string) bool { return flag == FlagDischargeCancelled })
	}
	if s.Status == InHospital && told.ExpectedDischargeOn != "" {
		s.ExpectedDischargeOn = told.ExpectedDischargeOn
	}
	if told.CriteriaToReside != "" {
		s.CriteriaToReside, s.ReadyOn = told.CriteriaToReside, told.ReadyOn
	}
	for _, i := range told.Involvements {
		if !slices.Contains(s.Involvements, i) {
			s.Involvements = append(slices.Clone(s.Involvements), i)
		}
	}
	return s, true
}

// Complete reports whether the facts of a spell reach as far as the snapshot that was taken over. What the hospital recorded before may
// still be missing; that the hospital has sent everything again is the operator's word.
//
// Any fact reaches that far, also one about somebody else who has the same visit number: when the snapshot was made, that may have been the
// person's.
func (h Held) Complete() bool {
	reaches := func(f Fact) bool { return !f.Recorded.Before(h.Recorded) }
	return slices.ContainsFunc(h.Before, reaches) || slices.ContainsFunc(h.Since, reaches)
}
