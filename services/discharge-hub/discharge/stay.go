package discharge

import "time"

// stay is the course of a spell: admitted, discharged, and what was taken back. It is driven by kinds alone, but for the patient class
// (PV1-2), which can only tell that somebody is an inpatient: senders leave E on inpatients, so it never tells that somebody is none.
type stay struct {
	open      bool // something told that the person is or was in hospital, and no A11 after it
	voided    bool
	visiting  bool // only expected (A05), in A&E or in a clinic (A04), unless inpatient
	inpatient bool
	current   *leaving
	number    int
	admitted  Told[Moment]
	cancelled bool // a cancel found nothing to cancel
	takenBack bool // the discharge told last was cancelled: the same cancel, sent again, has nothing more to cancel
	readmit   bool // an admission was recorded after the discharge that holds, and no discharge after it
	second    bool // one with another admission time was: two stays under one number
	stray     bool // a discharge time was told, though no discharge
	became    bool // the stay became an outpatient's visit (A07), and no discharge was told
	away      bool // on leave
	expected  Told[Moment]
	at        place
	before    []place // where the person was before each move that is not cancelled
}

// place is where in the hospital somebody is.
type place struct{ site, ward Told[string] }

func (p place) then(f *Fact) place { return place{p.site.then(f.Site), p.ward.then(f.Ward)} }

// status is where the person is.
func (s *stay) status() Status {
	switch {
	case s.voided:
		return Voided
	case s.current != nil:
		return Discharged
	case s.visiting && !s.inpatient:
		return NotAdmitted
	}
	return InHospital
}

// leaving is a discharge that holds, as corrected so far.
type leaving struct {
	at          Told[Moment] // PV1-45
	effective   Moment       // EVN-6 of the discharge
	recorded    time.Time    // of its first message
	method      Told[string]
	destination Told[string]
	postcode    Told[string]
	deadInText  bool
	flags       flagSet
}

// moment returns when the person left: PV1-45, else EVN-6, else when the discharge was first recorded.
func (l *leaving) moment() Moment {
	switch {
	case l.at.HasValue():
		return l.at.Value
	case !l.effective.IsZero():
		return l.effective
	}
	return Moment{At: l.recorded}
}

// stayOf follows the facts in their order. Where a cancel was recorded at the same moment as what it cancels, it may come first by
// control id: it then waits, within that moment, for something that it can cancel.
func stayOf(order []*Fact) stay {
	var s stay
	var waiting []*Fact
	for i, f := range order {
		if !s.canApply(f.Kind) {
			waiting = append(waiting, f)
		} else {
			s.apply(f)
			rest := waiting[:0]
			for _, w := range waiting {
				if s.canApply(w.Kind) {
					s.apply(w)
				} else {
					rest = append(rest, w)
				}
			}
			waiting = rest
		}
		if i+1 == len(order) || !order[i+1].Recorded.Equal(f.Recorded) {
			for _, w := range waiting {
				s.apply(w)
			}
			waiting = waiting[:0]
		}
	}
	return s
}

// canApply tells whether a cancel has something to cancel; everything else can always be applied.
func (s *stay) canApply(k Kind) bool {
	switch k {
	case KindCancelDischarge:
		return s.current != nil
	case KindCancelAdmit:
		return s.open
	case KindCancelTransfer:
		return len(s.before) > 0
	case KindCancelPlan:
		return s.expected.HasValue()
	case KindCancelExpect, KindCancelPlanAdmit:
		return s.visiting
	case KindReturn, KindCancelLeave:
		return s.away
	}
	return true
}

func (s *stay) apply(f *Fact) {
	before := s.admitted
	s.admitted = s.admitted.then(f.AdmittedAt)
	s.expected = s.expected.then(f.ExpectedDischarge)
	s.move(f)
	switch f.Kind {
	case KindAdmit, KindToInpatient:
		s.open, s.voided, s.inpatient, s.became, s.away = true, false, true, false, false
		s.readmit = s.current != nil
		if s.readmit && before.HasValue() && f.AdmittedAt.HasValue() && before.Value.differs(f.AdmittedAt.Value) {
			s.second = true
		}
	case KindRegister:
		s.open, s.voided, s.visiting = true, false, true
	case KindExpect, KindPlanAdmit:
		if !s.open {
			s.voided, s.visiting = false, true
		}
	case KindCancelExpect, KindCancelPlanAdmit, KindDeleteVisit:
		s.voided = s.voided || !s.open
	case KindToOutpatient:
		s.open = s.open || !s.voided
		s.became, s.away = s.open && s.current == nil && (s.inpatient || !s.visiting), false
	case KindUpdate:
		if !s.voided && !s.visiting {
			s.open = true
		}
	case KindDischarge:
		s.open, s.voided, s.readmit, s.cancelled, s.takenBack, s.stray, s.became, s.away = true, false, false, false, false, false, false, false
		s.recognise(f)
		if s.current == nil {
			s.number++
			s.current = &leaving{recorded: f.Recorded}
		}
		if !f.Effective.IsZero() {
			s.current.effective = f.Effective
		}
		s.current.correct(f)
		return
	case KindCancelDischarge:
		s.takenBack = s.takenBack || s.current != nil
		s.cancelled = !s.takenBack
		s.current, s.readmit, s.second, s.stray = nil, false, false, false
		return
	case KindCancelAdmit:
		*s = stay{voided: true, number: s.number, admitted: s.admitted, cancelled: s.cancelled, at: s.at}
		return
	}
	s.recognise(f)
	switch f.Kind {
	case KindLeave, KindCancelReturn:
		s.away = s.open && s.current == nil
	case KindReturn, KindCancelLeave:
		s.away = false
	}
	switch {
	case s.current != nil && f.Kind == KindUpdate:
		s.current.correct(f)
	case s.current == nil && f.DischargedAt.Said && f.Kind.tellsOfLeaving():
		s.stray = f.DischargedAt.HasValue()
	}
}

// recognise learns from a message that the person is in hospital, and an inpatient: the class of an inpatient tells both, and so does what
// happens to inpatients only, unless its class denies it.
func (s *stay) recognise(f *Fact) {
	if s.voided || f.Kind == KindExpect || f.Kind == KindPlanAdmit {
		return
	}
	switch classOf(f.Class) {
	case classInpatient:
		if f.Kind.tellsPresence() || s.open {
			s.open, s.inpatient = true, true
		}
	case classUntold:
		if f.Kind.tellsPresence() {
			s.open, s.inpatient = true, true
		}
	case classOther:
		s.open = s.open || f.Kind.tellsPresence()
	}
}

// move follows the person through the hospital. A cancelled transfer brings them back to where they were before it; where the transfer is
// not known, to where the cancel says that they are.
func (s *stay) move(f *Fact) {
	switch {
	case f.Kind == KindCancelTransfer && len(s.before) > 0:
		last := len(s.before) - 1
		s.at, s.before = s.before[last], s.before[:last]
	case f.Kind == KindTransfer, f.Kind == KindSwapBeds:
		s.before = append(s.before, s.at)
		s.at = s.at.then(f)
	case f.Kind.tellsWhere():
		s.at = s.at.then(f)
	}
}

// correct takes over what a discharge, or an update while discharged, says about the discharge.
func (l *leaving) correct(f *Fact) {
	l.at = l.at.then(f.DischargedAt)
	l.method, l.destination = l.method.then(f.Method), l.destination.then(f.Destination)
	l.postcode = l.postcode.then(f.DestinationPostcode)
	// Words of death stay until both fields have been told anew, for the words are in only one of them.
	l.deadInText = f.DeadInText || l.deadInText && !(f.Method.Said && f.Destination.Said)
	l.flags = l.flags.after(f, leavingFlags)
}
