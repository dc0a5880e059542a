package fhir

import (
	"strings"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
)

// patient reads who the person is.
func (r *reader) patient(p element) {
	p.understood()
	e := &r.event
	nhs := ""
	for _, id := range p.each("identifier") {
		if id.get("system").text() == NHSNumberSystem && !old(id) {
			e.NHSNumber = id.get("value").text()
			if other := nhs; other != "" && bare(e.NHSNumber) != other {
				id.get("value").wrong(Value, "is a second NHS number; send the person's, and mark others by use old")
				e.NHSNumber = "" // nobody can tell which is the person's
				break
			}
			nhs = bare(e.NHSNumber)
			r.told[discharge.FlagNHSNumberInvalid] = id.path + ".value"
			e.NHSNumberStatus = code(id.extension(verificationStatus).get("valueCodeableConcept"))
		}
	}
	if number := r.numberOf(p, r.feed.PatientSystem); number != "" {
		e.PatientNumber = number
	}
	if n := r.inUse(p.each("name"), "official"); n.present() {
		e.FamilyName = n.get("family").text()
		e.GivenName = ""
		if given := n.each("given"); len(given) > 0 {
			e.GivenName = given[0].text()
		}
	}
	e.BirthDate = p.get("birthDate").text()
	r.told[discharge.FlagBirthDateUnreadable] = p.path + ".birthDate"
	if a := r.inUse(p.each("address"), "home"); a.present() {
		e.Postcode = a.get("postalCode").text()
		r.told[discharge.FlagPostcodeUnreadable] = a.path + ".postalCode"
		if nobodysHome(a) {
			e.Postcode = noFixedAbode
		}
	}
	for _, gp := range p.each("generalPractitioner") {
		if id := gp.get("identifier"); id.get("system").text() == ODSSystem {
			e.Practice = id.get("value").text()
			r.told[discharge.FlagPracticeUnreadable] = id.path + ".value"
		}
	}
	if died, told := p.get("deceasedBoolean").boolean(); told {
		e.DeathIndicator = discharge.Tell(died)
	}
	r.died(p)
}

// died reads the time of death. As PID-29 alone it is believed if it can be, and is a doubt if it cannot, such as a null date; to the month or the
// year it says no more than that the person has died.
func (r *reader) died(p element) {
	at := p.get("deceasedDateTime")
	if !at.present() {
		return
	}
	if p.get("deceasedBoolean").present() {
		at.wrong(Invariant, "is given beside deceasedBoolean; FHIR takes one of them: say when the person died, or whether")
	}
	r.event.DeathIndicator = discharge.Tell(true)
	if died, _, ok := at.date(r.feed.Zone); ok && r.ofThisAge(at, died) {
		r.event.DeathIndicator, r.event.DiedAt = discharge.Clear[bool](), died
	}
}

// alive takes back the time of death that the version before told, where this one says false: deceased[x] is one element. By no other version:
// many systems send false of everybody, and must not take back what came by another door.
func (r *reader) alive(p, before element) {
	died, told := p.get("deceasedBoolean").boolean()
	r.event.DeathTimeCleared = told && !died && before.get("deceasedDateTime").present()
}

// bare is a number without the spaces and hyphens with which it is displayed.
func bare(number string) string { return strings.NewReplacer(" ", "", "-", "").Replace(number) }

// old tells whether an identifier, a name or an address is marked as one that is not in use.
func old(e element) bool { return e.get("use").text() == "old" }

// inUse returns the first name or address of that use, else the first of any, without those that are old or whose period has ended.
func (r *reader) inUse(list []element, use string) (found element) {
	for _, e := range list {
		if end, _, ok := e.get("period", "end").date(r.feed.Zone); old(e) || ok && end.Before(r.event.RecordedAt) {
			continue
		}
		if e.get("use").text() == use {
			return e
		}
		if !found.present() {
			found = e
		}
	}
	return found
}

// noFixedAbode is the NHS pseudo postcode of somebody without a fixed abode.
const noFixedAbode = "ZZ99 3VZ"

// nobodysHome tells whether an address says that there is no fixed abode.
func nobodysHome(address element) bool {
	for _, line := range append(address.each("line"), address.get("text")) {
		switch strings.ToUpper(line.text()) {
		case "NFA", "NO FIXED ABODE", "NO FIXED ADDRESS":
			return true
		}
	}
	return false
}

// classes are HL7's ActEncounterCode (FHIR R4, Encounter.class) in the words of HL7 table 0004, which is PV1-2. Whoever is observed may have no bed.
var classes = map[string]string{
	"IMP": "I", "ACUTE": "I", "NONAC": "I", "EMER": "E", "AMB": "O", "SS": "O", "OBSENC": "O", "VR": "O", "HH": "O", "FLD": "O", "PRENC": "P",
}

// encounter reads the stay, but not what its status says.
func (r *reader) encounter(enc element) {
	enc.understood()
	enc.get("status").need("it says whether the person is in hospital or has left")
	class := enc.get("class")
	if !class.present() {
		class.wrong(Required, "is missing; FHIR requires it, for instance IMP of http://terminology.hl7.org/CodeSystem/v3-ActCode")
	}
	r.event.Class = classes[class.get("code").text()]
	r.visit(enc)
	r.needVisit(enc.get("identifier"))
	e := &r.event
	start := enc.get("period", "start")
	if at, _, ok := start.date(r.feed.Zone); ok && r.ofThisAge(start, at) {
		e.AdmittedAt = at
	}
	if id := enc.get("serviceProvider", "identifier"); id.get("system").text() == ODSSystem && !strings.HasPrefix(id.get("value").text(), r.feed.Provider) {
		id.get("value").wrong(Value, "is not %s, for which you may send", r.feed.Provider)
	}
	for _, l := range enc.each("location") {
		if id := l.get("location", "identifier"); id.get("system").text() == SiteSystem {
			e.Site = id.get("value").text()
		}
	}
	r.outcome(enc)
	if planned := enc.extension(plannedEndDate).get("valueDateTime"); planned.present() {
		if at, _, ok := planned.date(r.feed.Zone); ok && r.ofThisAge(planned, at) {
			e.ExpectedDischarge = at
		} else if !ok {
			planned.wrong(Value, "must be a day or a time")
		}
	}
	r.readiness(enc.extension(criteriaToReside))
	if p := enc.extension(pathwayExtension).get("valueCode"); p.present() {
		if e.Pathway = p.text(); len(e.Pathway) != 1 || !strings.Contains("0123", e.Pathway) {
			p.wrong(Value, "must be 0, 1, 2 or 3")
		}
	}
}

// outcome reads how and where to the person leaves. UK Core has the destination in dischargeDisposition and the method in an extension;
// some systems have the method in dischargeDisposition too, told apart by its code system.
func (r *reader) outcome(enc element) {
	e := &r.event
	stay := enc.get("hospitalization")
	for _, c := range stay.get("dischargeDisposition").each("coding") {
		if c.get("system").text() == methodSystem {
			e.Method = c.get("code").text()
			r.told[discharge.FlagMethodUnknown] = c.path + ".code"
			continue
		}
		e.Destination = c.get("code").text()
		r.told[discharge.FlagDestinationUnknown] = c.path + ".code"
	}
	if m := enc.extension(dischargeMethod).get("valueCodeableConcept"); m.present() {
		e.Method = code(m)
		r.told[discharge.FlagMethodUnknown] = m.path
	}
	if to := stay.get("destination", "reference"); to.present() {
		e.DestinationPostcode = enc.contained(to).get("address", "postalCode").text()
	}
}

func (r *reader) readiness(x element) {
	if !x.present() {
		return
	}
	met, told := x.extension("met").get("valueBoolean").boolean()
	if !told {
		x.extension("met").wrong(Required, "is missing; say whether the criteria to reside are met, as valueBoolean")
		return
	}
	r.event.MeetsCriteria = discharge.Tell(met)
	if since := x.extension("since").get("valueDateTime"); since.present() && !met {
		if at, _, ok := since.date(r.feed.Zone); ok && r.ofThisAge(since, at) {
			r.event.ReadyAt = at
		}
	}
}

// status reads what the status of an Encounter says after what it said before.
func (r *reader) status(enc, before element, discharged bool) {
	e, was := &r.event, before.get("status").text()
	end := enc.get("period", "end")
	switch status := enc.get("status"); status.text() {
	case "finished":
		e.Kind = discharge.KindDischarge
		r.left(end)
	case "cancelled", "entered-in-error":
		if e.Kind = discharge.KindCancelAdmit; was == "planned" {
			e.Kind = discharge.KindCancelExpect
		}
	case "planned", "arrived", "triaged", "in-progress", "onleave":
		e.Kind = present(status.text(), was, discharged)
		if end.present() {
			end.wrong(Invariant, "is given though the person has not left; give the expected date as the extension %s", plannedEndDate)
		}
	case "":
	default:
		status.wrong(Value, "must be planned, arrived, triaged, in-progress, onleave, finished, cancelled or entered-in-error")
	}
	expected := func(x element) element { return x.extension(plannedEndDate).get("valueDateTime") }
	e.ExpectationCleared = expected(before).present() && !expected(enc).present()
}

// present is what a status without an end says after the one before it, and after a discharge that was not taken back.
func present(status, was string, discharged bool) discharge.Kind {
	switch {
	case was == "finished" || discharged:
		return discharge.KindCancelDischarge
	case status == "planned":
		return discharge.KindExpect
	case status == "arrived", status == "triaged":
		return discharge.KindRegister
	case was == "planned", was == "arrived", was == "triaged", was == "cancelled", was == "entered-in-error":
		return discharge.KindAdmit
	case status == "onleave" && was != "onleave":
		return discharge.KindLeave
	case status == "in-progress" && was == "onleave":
		return discharge.KindReturn
	}
	return discharge.KindUpdate
}

// left reads when the person left, which a discharge must tell to the minute: six weeks count from it.
func (r *reader) left(end element) {
	at, timed, ok := end.date(r.feed.Zone)
	switch {
	case !end.present():
		end.wrong(Required, "is missing; a discharge needs the time at which the person left")
	case !ok, !timed:
		end.wrong(Value, "must have a time of day and an offset, such as 2026-09-02T14:25:00+01:00")
	case at.After(r.event.RecordedAt.Add(24 * time.Hour)):
		end.wrong(Value, "is more than a day ahead; tell a discharge when it has happened")
	case r.ofThisAge(end, at):
		r.event.DischargedAt, r.end = at, end
		if r.event.AdmittedAt.After(at) {
			r.issues = append(r.issues, Issue{Severity: Warning, Code: Value, Expression: end.path,
				Diagnostics: "is before period.start: it is taken as told, and is an exception for a person; check both with the ward and send the right ones"})
		}
	}
}

// referral reads a ServiceRequest.
func (r *reader) referral(s element) {
	s.understood()
	s.get("intent").need("FHIR requires it; `order` is usual")
	if !s.get("subject").present() {
		s.get("subject").wrong(Required, "is missing; FHIR requires it")
	}
	if id := s.get("encounter", "identifier"); id.get("system").text() == r.feed.VisitSystem {
		r.event.VisitNumber = id.get("value").text()
	}
	switch status := s.get("status"); status.need("it says whether the referral stands") {
	case "draft", "active", "on-hold":
		r.event.Involvements = []discharge.Involvement{discharge.HubReferral}
	case "revoked", "entered-in-error":
		r.event.Withdrawn = []discharge.Involvement{discharge.HubReferral}
	case "completed", "":
	default:
		status.wrong(Value, "must be active, draft, on-hold, revoked, entered-in-error or completed")
	}
}

// visit reads the visit number, by which the spell is known.
func (r *reader) visit(enc element) { r.event.VisitNumber = r.numberOf(enc, r.feed.VisitSystem) }

func (r *reader) needVisit(at element) {
	if r.event.VisitNumber == "" {
		at.wrong(Required, "has no value of the system %s: the visit number, by which the stay is known whichever door it is told at", r.feed.VisitSystem)
	}
}

func (r *reader) ofThisAge(e element, at time.Time) bool {
	if !discharge.OfThisAge(at) {
		e.wrong(Value, "is no time of this age")
		return false
	}
	return true
}

// code is the first code of a CodeableConcept.
func code(concept element) string {
	for _, c := range concept.each("coding") {
		if s := c.get("code").text(); s != "" {
			return s
		}
	}
	return ""
}
