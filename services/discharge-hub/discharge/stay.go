package discharge

import "time"

// stay is the course of a spell: admitted, discharged, and what was taken back. It is driven by kinds alone.
type stay struct {
	open      bool // something told that the person is or was in hospital, and no A11 after it
	voided    bool
	current   *leaving
	number    int
	admitted  Told[Moment]
	cancelled bool // a cancel found nothing to cancel
	readmit   bool // an admission was recorded after the discharge that holds, and no discharge after it
	second    bool // one with another admission time was: two stays under one number
	stray     bool // a discharge time was told, though no discharge
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
	}
	return true
}

func (s *stay) apply(f *Fact) {
	before := s.admitted
	s.admitted = s.admitted.then(f.AdmittedAt)
	switch f.Kind {
	case KindAdmit:
		s.open, s.voided = true, false
		s.readmit = s.current != nil
		if s.readmit && before.HasValue() && f.AdmittedAt.HasValue() && before.Value.differs(f.AdmittedAt.Value) {
			s.second = true
		}
	case KindTransfer, KindUpdate:
		if !s.voided {
			s.open = true
		}
	case KindDischarge:
		s.open, s.voided, s.readmit, s.cancelled, s.stray = true, false, false, false, false
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
		s.cancelled = s.current == nil
		s.current, s.readmit, s.second, s.stray = nil, false, false, false
		return
	case KindCancelAdmit:
		s.open, s.voided = false, true
		s.current, s.readmit, s.second, s.stray = nil, false, false, false
		return
	}
	switch {
	case s.current != nil && f.Kind == KindUpdate:
		s.current.correct(f)
	case s.current == nil && f.DischargedAt.Said:
		s.stray = f.DischargedAt.HasValue()
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
