package hospital

import (
	"bytes"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
)

// oddity is a way in which a message is not as it should be.
type oddity int

const (
	swapped         oddity = iota // PV1-36 and 37
	words                         // a local word instead of a code
	noPractice                    // none, or a doctor's own code
	practiceInPD14                // in the second place
	noNHSNumber                   // none is known yet
	badNHSNumber                  // its check digit is wrong
	noEVN2                        // EVN-2 is empty
	withOffset                    // times with a time zone
	dayOnly                       // PV1-45 without a time of day
	noDischargeTime               // PV1-45 is empty
	lineFeeds                     // segments end with LF
	latin1                        // ISO 8859-1 and not said so
	testMessage                   // MSH-11 T
	noVisit                       // PV1-19 is empty
	deathInWords                  // PV1-36 Dead, PID-30 N
	noAbode                       // no fixed abode
	version23                     // HL7 v2.3
	mistypedYear                  // a discharge in another year
	longNotes                     // a Z segment and notes
)

// chances of each, of a hundred thousand messages.
var chances = []struct {
	odd    oddity
	chance int
}{
	{swapped, 4000}, {words, 3000}, {noPractice, 6000}, {practiceInPD14, 12000}, {noNHSNumber, 2500}, {badNHSNumber, 300}, {noEVN2, 1500}, {withOffset, 2000},
	{dayOnly, 1500}, {noDischargeTime, 2500}, {lineFeeds, 3000}, {latin1, 5000}, {testMessage, 400}, {noVisit, 700}, {deathInWords, 200}, {noAbode, 400},
	{version23, 2000}, {mistypedYear, 100}, {longNotes, 3000},
}

func (h *ward) oddities(event) []oddity {
	if h.o.Clean {
		return nil
	}
	var odd []oddity
	for _, c := range chances {
		if h.random.IntN(100_000) < c.chance {
			odd = append(odd, c.odd)
		}
	}
	return odd
}

func (e event) is(o oddity) bool {
	for _, has := range e.odd {
		if has == o {
			return true
		}
	}
	return false
}

// stamp writes a time as the hospital does.
func (e event) stamp(t time.Time) string {
	if e.is(withOffset) {
		return t.Format("20060102150405-0700")
	}
	return t.Format("20060102150405")
}

func (h *ward) encode(e event, control string) []byte {
	b := &hl7.Builder{}
	p, v := e.who, e.visit
	b.Set("MSH-3", h.o.Application).Set("MSH-4", h.o.Facility).Set("MSH-5", "HOMEWARD").Set("MSH-6", "HUB").Set("MSH-7", e.stamp(e.sent)).
		SetRaw("MSH-9", "ADT^"+e.trigger).Set("MSH-10", control).Set("MSH-11", "P").Set("MSH-12", "2.4")
	if e.is(testMessage) {
		b.Set("MSH-11", "T")
	}
	if e.is(version23) {
		b.Set("MSH-12", "2.3")
	}
	b.Set("EVN-1", e.trigger)
	if !e.is(noEVN2) {
		b.Set("EVN-2", e.stamp(e.recorded))
	}
	if !e.effective.IsZero() {
		b.Set("EVN-6", e.stamp(e.effective))
	}
	h.writePerson(b, e)
	if e.trigger == "A40" {
		b.SetRaw("MRG-1", p.patientNumber+"9^^^"+h.o.Provider+"^PI")
	}
	b.Set("PV1-2", v.class).SetRaw("PV1-3", v.ward+"^B1^"+"01^"+h.o.Facility)
	if !e.is(noVisit) {
		b.Set("PV1-19", v.number)
	}
	b.Set("PV1-44", e.stamp(v.admitted))
	if e.trigger == "A03" || e.trigger == "A08" && e.effective.Equal(v.left) {
		writeLeaving(b, e)
	}
	if e.is(longNotes) {
		b.Set("ZPI-1", "1").Set("ZPI-2", "LOCAL").Set("NTE-1", "1").Set("NTE-3", "Bring the frame\nand the key safe number is known")
	}
	return h.bytes(b, e)
}

func (h *ward) writePerson(b *hl7.Builder, e event) {
	p := e.who
	own := p.patientNumber + "^^^" + h.o.Provider + "^PI"
	switch {
	case e.is(noNHSNumber):
		b.SetRaw("PID-3", own)
	case e.is(badNHSNumber):
		b.SetRaw("PID-3", p.nhsNumber[:8]+p.nhsNumber[9:]+p.nhsNumber[8:9]+"^^^NHS^NH~"+own)
	default:
		b.SetRaw("PID-3", p.nhsNumber+"^^^NHS^NH~"+own)
	}
	b.Set("PID-5.1", p.family).Set("PID-5.2", p.given).Set("PID-7", p.born)
	if e.is(noAbode) {
		b.SetRaw("PID-11", "NO FIXED ABODE^^^^ZZ99 3VZ")
	} else {
		b.SetRaw("PID-11", "1 EXAMPLE ROAD^^EXAMPLE TOWN^^"+p.home.postcode+"^GBR^H")
	}
	if !p.died.IsZero() && !e.recorded.Before(p.died) {
		b.Set("PID-29", e.stamp(p.died)).Set("PID-30", "Y")
	} else {
		b.Set("PID-30", "N")
	}
	switch {
	case e.is(noPractice):
		b.SetRaw("PD1-4", "G1234567^DOCTOR^A")
	case e.is(practiceInPD14):
		b.SetRaw("PD1-4", p.home.practice+"^A PRACTICE")
	default:
		b.SetRaw("PD1-3", "A PRACTICE^^"+p.home.practice+"^^^NHS^ODS")
	}
}

func writeLeaving(b *hl7.Builder, e event) {
	v := e.visit
	method, destination := v.method, v.destination
	if e.is(words) {
		method, destination = "HOME - ROUTINE", "USUAL PLACE"
	}
	if e.is(deathInWords) {
		method = "Dead"
		b.Set("PID-30", "N")
	}
	if e.is(swapped) {
		method, destination = destination, method
	}
	b.Set("PV1-36", method).Set("PV1-37", destination)
	left := v.left
	if e.is(mistypedYear) {
		left = left.AddDate(1, 0, 0)
	}
	switch {
	case e.is(noDischargeTime):
	case e.is(dayOnly):
		b.Set("PV1-45", left.Format("20060102"))
	default:
		b.Set("PV1-45", e.stamp(left))
	}
}

// bytes writes the message as its interface does.
func (h *ward) bytes(b *hl7.Builder, e event) []byte {
	raw := b.Bytes()
	if e.is(lineFeeds) {
		raw = bytes.ReplaceAll(raw, []byte("\r"), []byte("\n"))
	}
	if e.is(latin1) {
		var out []byte
		for _, r := range string(raw) {
			if r < 256 {
				out = append(out, byte(r))
			}
		}
		raw = out
	}
	return raw
}
