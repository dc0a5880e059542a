package discharge

// readMerge reads whose number MRG-1 takes away, and of a visit which number it had before: MRG-5, or MRG-3 where the account number (PID-18)
// is the visit's.
func (r *reader) readMerge() {
	mrg := r.m.Segment("MRG")
	if r.fact.Kind.Merges() || r.fact.Kind.movesVisit() {
		_, r.fact.PriorNumber = r.numbersIn(mrg.Field(1))
	}
	prior := 5
	if v := r.feed.Mapping.Visit; v.Segment == "PID" && v.Field == 18 {
		prior = 3
	}
	r.priorVisit = told(mrg.Field(prior, 1)).Value
}

// visitField is the field that holds the visit number, for people.
func (r *reader) visitField() string {
	field := r.feed.Mapping.Visit
	field.Component = 0
	return field.String()
}

// finish checks the fact as a whole and decides whether it can be used.
func (r *reader) finish(processing string) Reading {
	f := &r.fact
	var old []Fact
	if f.Kind == KindMergeAccount || f.Kind.renumbersVisit() {
		old = r.oldVisit(KindMergeVisit)
	}
	if f.Kind == KindMergeAccount && (f.PriorNumber == "" || f.PriorNumber == f.PatientNumber) {
		f.Kind = KindUpdatePerson // only the account is merged, which means nothing here
	}
	f.SpellID = SpellID(f.Provider, f.VisitNumber, f.PatientNumber, f.AdmittedAt.Value.At)
	if f.Kind == KindUpdate && f.SpellID == "" && f.PatientNumber != "" && !f.tellsOfStay() {
		f.Kind = KindUpdatePerson // some senders have no A31
	}
	r.checkDischargeTime()
	out := Reading{Usable: true}
	switch {
	case f.Kind.OfPerson():
		out = r.finishPerson()
		out.Also = append(out.Also, old...)
	case f.Kind.renumbersVisit():
		if len(old) == 0 {
			return Reading{Fact: *f, NotHandled: "ADT^" + string(f.Kind) + " without two visit numbers"}
		}
		*f = old[0] // nothing is told of the new number
	case f.Kind.movesVisit(), f.Kind == KindToOutpatient:
		out.Also = r.finishMovedVisit()
	}
	if !f.Kind.OfPerson() && f.SpellID == "" {
		out.Usable = false
		if f.Kind.mayLackSpell() {
			out.NotHandled = "ADT^" + string(f.Kind) + " without " + r.visitField()
		} else {
			r.problem(NoSpellKey, r.visitField(), "no visit number, and not both a local patient number (PID-3) and an admission time (PV1-44)",
				"Find the person in the hospital's system, record the discharge by hand, and ask the sender for "+r.visitField())
		}
	}
	if f.Recorded.IsZero() {
		out.Usable = false
		r.problem(NoTime, "EVN-2", "no time in EVN-2, MSH-7, EVN-6, PV1-45 or PV1-44 can be read",
			"Find out when it happened, record it by hand, and ask the sender for EVN-2")
	}
	if (processing == "T" || processing == "D") && r.feed.Mode == Live {
		out.Usable = false
		r.problem(TestMessageOnLive, "MSH-11", "a test message ("+processing+") on a live feed",
			"If the person is real, ask the sender to send P and replay the message; otherwise close this")
	}
	if !out.Usable {
		out.Also = nil
	}
	if len(r.problems) > 0 {
		out.NotHandled = ""
	}
	out.Fact, out.Problems = *f, r.problems
	return out
}

// tellsOfStay tells whether an update says something about a stay, so that a person has to find out about which.
func (f *Fact) tellsOfStay() bool {
	return f.AdmittedAt.Said || f.DischargedAt.Said || f.Method.Said || f.Destination.Said || f.DeadInText || f.Pathway.Said || len(f.Involvements)+len(f.Withdrawn) > 0 ||
		f.MeetsCriteria.Said
}

// finishPerson keeps of a message about a person what is about the person, and checks whose it is.
func (r *reader) finishPerson() Reading {
	f := &r.fact
	f.SpellID, f.VisitNumber = "", ""
	f.AdmittedAt, f.DischargedAt, f.ExpectedDischarge = Told[Moment]{}, Told[Moment]{}, Told[Moment]{}
	f.Method, f.Destination, f.DeadInText = Told[string]{}, Told[string]{}, false
	f.Class, f.Site, f.Ward, f.Pathway, f.Involvements, f.Withdrawn = Told[string]{}, Told[string]{}, Told[string]{}, Told[string]{}, nil, nil
	f.MeetsCriteria, f.ReadyAt = Told[bool]{}, Told[Moment]{}
	joins := f.Kind.Merges() || f.Kind == KindRevokeMerge
	if !joins {
		f.PriorNumber = ""
	}
	switch {
	case joins && (f.PatientNumber == "" || f.PriorNumber == ""):
		r.problem(NoPatientNumber, "MRG-1", "a merge must name two of the hospital's own patient numbers, in PID-3 the one that stays and in MRG-1 the one that goes",
			"Ask the sender for both, with the hospital's code in PID-3.4 and MRG-1.4, and to send the merge again; until then both are two people here")
	case joins && f.PatientNumber == f.PriorNumber:
		r.problem(MergeWithItself, "MRG-1", "the number that is merged away is the one that stays (PID-3): nothing was merged",
			"Ask the sender which two numbers were meant, and to send that merge")
	case f.PatientNumber == "" && (f.DeathIndicator.Value || f.DiedAt.HasValue() || f.DeathUnclear):
		r.problem(NoPatientNumber, "PID-3", "a death is told, and not of whom: there is no patient number of this hospital",
			"Find the person in the hospital's system, and record the death by hand in the open handovers of the person")
	case f.PatientNumber == "":
		return Reading{NotHandled: "ADT^" + string(f.Kind) + " without the hospital's own patient number"}
	default:
		return Reading{Usable: true}
	}
	return Reading{}
}

// oldVisit is what is told of a visit under the number that it had before, where it has another one.
func (r *reader) oldVisit(kind Kind) []Fact {
	prior, f := r.priorVisit, &r.fact
	if prior == "" || f.VisitNumber == "" || prior == f.VisitNumber {
		return nil
	}
	old := *f
	old.Kind, old.Flags = kind, append([]string(nil), f.Flags...)
	old.VisitNumber, old.SpellID = prior, SpellID(f.Provider, prior, "", f.AdmittedAt.Value.At)
	old.flag(VisitNumberChanged)
	return []Fact{old}
}

// finishMovedVisit sees to a visit that has another number than before: the spell keeps the number that it had. The person of a moved visit
// (A45) is told to the spell of the old number, and the same to the new number's. A stay that became an outpatient's visit (A07) is the
// old number's.
func (r *reader) finishMovedVisit() []Fact {
	f := &r.fact
	if f.VisitNumber == "" && r.priorVisit != "" { // MRG-5 alone names the visit
		f.VisitNumber, f.SpellID = r.priorVisit, SpellID(f.Provider, r.priorVisit, "", f.AdmittedAt.Value.At)
		return nil
	}
	old := r.oldVisit(f.Kind)
	if len(old) > 0 && f.Kind == KindToOutpatient {
		f.Kind = KindRegister
	}
	return old
}
