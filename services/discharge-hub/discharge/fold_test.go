package discharge

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// day is the day on which most test messages are recorded.
const day = "20260902"

func discharge(controlID, recorded string, more ...string) []byte {
	return adt("A03", controlID, recorded, append([]string{"PV1-36", "1", "PV1-37", "19", "PV1-45", day + "142500"}, more...)...)
}

// TestCourse says where a spell stands after messages, which are given in no particular order.
func TestCourse(t *testing.T) {
	for name, c := range map[string]struct {
		messages [][]byte
		status   Status
		number   int
		on       string
		flags    []string
	}{
		"admitted": {messages: [][]byte{adt("A01", "1", "20260825092000")}, status: InHospital},
		"discharged": {messages: [][]byte{adt("A01", "1", "20260825092000"), discharge("3", day+"143000"), adt("A02", "2", "20260827100000")},
			status: Discharged, number: 1, on: "2026-09-02"},
		"a discharge alone": {messages: [][]byte{discharge("3", day+"143000")}, status: Discharged, number: 1, on: "2026-09-02"},
		"sent twice":        {messages: [][]byte{discharge("3", day+"143000"), discharge("3", day+"143000")}, status: Discharged, number: 1, on: "2026-09-02"},
		"corrected": {messages: [][]byte{discharge("4", day+"160000", "PV1-45", "20260901180000"), discharge("3", day+"143000")},
			status: Discharged, number: 1, on: "2026-09-01"},
		"corrected by an update": {messages: [][]byte{adt("A08", "4", day+"160000", "PV1-45", "20260901180000"), discharge("3", day+"143000")},
			status: Discharged, number: 1, on: "2026-09-01"},
		"a correction that is silent about the time": {messages: [][]byte{discharge("3", day+"143000"), discharge("4", "20260903090000", "PV1-45", "")},
			status: Discharged, number: 1, on: "2026-09-02"},
		"cancelled": {messages: [][]byte{adt("A13", "4", day+"150000", "EVN-6", day+"142500"), discharge("3", day+"143000")}, status: InHospital, flags: []string{FlagDischargeCancelled}},
		"cancelled and discharged again": {messages: [][]byte{discharge("5", "20260904120000", "PV1-45", "20260904113000"), adt("A13", "4", day+"150000"), discharge("3", day+"143000")},
			status: Discharged, number: 2, on: "2026-09-04"},
		"a cancel of an earlier time does not cancel what is recorded later": {messages: [][]byte{discharge("3", day+"143000"), adt("A13", "2", day+"142900")},
			status: Discharged, number: 1, on: "2026-09-02"},
		"recorded times order, not control ids": {messages: [][]byte{discharge("900", day+"143000"), adt("A13", "2", day+"150000")}, status: InHospital, flags: []string{FlagDischargeCancelled}},
		"recorded times order, not control ids, the other way": {messages: [][]byte{adt("A13", "900", day+"142900"), discharge("2", day+"143000")},
			status: Discharged, number: 1, on: "2026-09-02"},
		"no discharge time and EVN-6 far in the future": {messages: [][]byte{discharge("3", "20260903090000", "PV1-45", "", "EVN-6", "20620902142500")},
			status: Discharged, number: 1, on: "2026-09-03", flags: []string{FlagTimeMissing}},
		"a cancel with nothing to cancel": {messages: [][]byte{adt("A01", "1", "20260825092000"), adt("A13", "2", day+"142900")},
			status: InHospital, flags: []string{FlagCancelWithoutDischarge}},
		"an update after a cancel brings no discharge back": {messages: [][]byte{discharge("3", day+"143000"), adt("A13", "4", day+"150000"), adt("A08", "5", day+"151000", "PV1-45", day+"142500")},
			status: InHospital, flags: []string{FlagDischargeCancelled, FlagTimeWithoutDischarge}},
		"a cancel with a mistyped year cancels nothing later": {messages: [][]byte{discharge("3", day+"143000"), adt("A13", "4", "20360902150000", "MSH-7", day+"150000"), discharge("5", day+"160000")},
			status: Discharged, number: 2, on: "2026-09-02", flags: []string{RecordedInTheFuture}},
		"in one minute, told apart by MSH-7 whatever the control ids": {messages: [][]byte{discharge("9", day+"1430", "MSH-7", day+"143001"), adt("A13", "8", day+"1430", "MSH-7", day+"143002"), discharge("7", day+"1430", "MSH-7", day+"143003", "PV1-45", "20260901120000")},
			status: Discharged, number: 2, on: "2026-09-01"},
		"a cancel of the same minute that is sent in the next one": {messages: [][]byte{adt("A13", "8", day+"1430", "MSH-7", day+"143101"), discharge("9", day+"1430", "MSH-7", day+"143050")},
			status: InHospital, flags: []string{FlagDischargeCancelled}},
		"recorded in one minute, the cancel last":                    {messages: [][]byte{discharge("3", day+"1430"), adt("A13", "4", day+"1430")}, status: InHospital, flags: []string{FlagDischargeCancelled}},
		"recorded in one minute, the cancel with the smaller number": {messages: [][]byte{discharge("4", day+"1430"), adt("A13", "3", day+"1430")}, status: InHospital, flags: []string{FlagDischargeCancelled}},
		"discharge, cancel and discharge recorded in one minute": {messages: [][]byte{discharge("9", day+"1430"), adt("A13", "10", day+"1430"), discharge("11", day+"1430", "PV1-45", day+"1428")},
			status: Discharged, number: 2, on: "2026-09-02"},
		"cancel of yesterday's and discharge recorded in one minute": {messages: [][]byte{discharge("3", "20260901143000", "PV1-45", "20260901142500"), adt("A13", "4", day+"1430"), discharge("5", day+"1430")},
			status: Discharged, number: 2, on: "2026-09-02"},
		"admission cancelled":                             {messages: [][]byte{adt("A11", "2", "20260825093000"), adt("A01", "1", "20260825092000")}, status: Voided},
		"admission and its cancel recorded in one minute": {messages: [][]byte{adt("A01", "2", "202608250920"), adt("A11", "1", "202608250920")}, status: Voided},
		"admission cancelled after the discharge":         {messages: [][]byte{discharge("3", day+"143000"), adt("A11", "4", day+"150000")}, status: Voided},
		"admitted again after a cancelled admission": {messages: [][]byte{adt("A01", "1", "20260825092000"), adt("A11", "2", "20260825093000"), adt("A01", "3", "20260825100000")},
			status: InHospital},
		"discharged after a cancelled admission": {messages: [][]byte{adt("A11", "2", "20260825093000"), discharge("3", day+"143000")},
			status: Discharged, number: 1, on: "2026-09-02"},
		"discharged, the admission cancelled, and discharged after all": {messages: [][]byte{discharge("3", day+"143000"), adt("A11", "4", day+"150000"), discharge("5", day+"160000")},
			status: Discharged, number: 2, on: "2026-09-02"},
		"a cancel that took effect long after the discharge": {messages: [][]byte{discharge("3", day+"143000"), adt("A13", "4", "20260903150000", "EVN-6", "20260903145000")},
			status: InHospital, flags: []string{FlagDischargeCancelled}},
		"an update does not bring a cancelled admission back": {messages: [][]byte{adt("A01", "1", "20260825092000"), adt("A11", "2", "20260825093000"), adt("A08", "3", "20260825094000")},
			status: Voided},
		"an admission recorded after the discharge": {messages: [][]byte{discharge("3", day+"143000"), adt("A01", "4", day+"150000")},
			status: Discharged, number: 1, on: "2026-09-02", flags: []string{FlagAdmittedAfterDischarge}},
		"a second stay under the same number": {messages: [][]byte{discharge("3", day+"143000"), adt("A01", "4", "20260910150000", "PV1-44", "20260910145000")},
			status: Discharged, number: 1, on: "2026-09-02", flags: []string{FlagAdmittedAfterDischarge, DischargeBeforeStay}},
		"a second stay and its discharge": {messages: [][]byte{discharge("3", day+"143000"), adt("A01", "4", "20260910150000", "PV1-44", "20260910145000"), discharge("5", "20260912150000", "PV1-45", "20260912145000", "PV1-44", "20260910145000")},
			status: Discharged, number: 1, on: "2026-09-12", flags: []string{FlagAdmittedAfterDischarge}},
		"an admission recorded again after the discharge, and a correction of that": {messages: [][]byte{discharge("3", day+"143000"), adt("A01", "4", day+"150000", "PV1-44", "20260825"), discharge("5", day+"160000")},
			status: Discharged, number: 1, on: "2026-09-02"},
		"another admission time after a discharge that is then cancelled": {messages: [][]byte{discharge("3", day+"143000"), adt("A01", "4", day+"150000", "PV1-44", "20260824091500"), adt("A13", "5", day+"160000")},
			status: InHospital, flags: []string{FlagDischargeCancelled}},
		"a discharge time that an update takes back": {messages: [][]byte{adt("A08", "3", day+"143000", "PV1-45", day+"142500"), adt("A08", "4", day+"150000", "PV1-45", `""`)},
			status: InHospital},
		"a discharge time that only an update tells": {messages: [][]byte{adt("A08", "3", day+"143000", "PV1-45", day+"142500")},
			status: InHospital, flags: []string{FlagTimeWithoutDischarge}},
		"no discharge time: EVN-6": {messages: [][]byte{discharge("3", "20260903090000", "PV1-45", "", "EVN-6", day+"142500")},
			status: Discharged, number: 1, on: "2026-09-02", flags: []string{FlagTimeMissing}},
		"no discharge time and no EVN-6: when it was recorded": {messages: [][]byte{discharge("3", "20260903090000", "PV1-45", "")},
			status: Discharged, number: 1, on: "2026-09-03", flags: []string{FlagTimeMissing}},
		"a discharge time that is taken back": {messages: [][]byte{discharge("3", "20260903090000"), adt("A08", "4", "20260903100000", "PV1-45", `""`)},
			status: Discharged, number: 1, on: "2026-09-03", flags: []string{FlagTimeMissing}},
		"a null date for the discharge: when it was recorded": {messages: [][]byte{discharge("3", "20260903090000", "PV1-45", "19000101")},
			status: Discharged, number: 1, on: "2026-09-03", flags: []string{FlagTimeMissing}},
		"a null date after the discharge's time": {messages: [][]byte{discharge("3", day+"143000"), adt("A08", "4", "20260903090000", "PV1-45", "19000101")},
			status: Discharged, number: 1, on: "2026-09-02"},
		"a null date of somebody who has not left": {messages: [][]byte{adt("A01", "1", "20260825092000", "PV1-45", "19000101")}, status: InHospital},
		"a null date of somebody who became an outpatient": {messages: [][]byte{adt("A01", "1", "20260825092000"), adt("A07", "2", "20260826092000", "PV1-45", "19000101")},
			status: InHospital, flags: []string{BecameOutpatient}},
		"discharged before admission": {messages: [][]byte{discharge("3", day+"143000", "PV1-45", "20260820120000")},
			status: Discharged, number: 1, on: "2026-08-20", flags: []string{DischargeBeforeStay}},
		"the control id used for other bytes": {messages: [][]byte{adt("A01", "3", "20260825092000"), discharge("3", day+"143000")},
			status: Discharged, number: 1, on: "2026-09-02", flags: []string{FlagControlIDReused}},
		"swapped fields put right": {messages: [][]byte{discharge("3", day+"143000", "PV1-36", "19", "PV1-37", "1"), discharge("4", day+"150000")},
			status: Discharged, number: 1, on: "2026-09-02"},
		"swapped fields": {messages: [][]byte{discharge("3", day+"143000", "PV1-36", "19", "PV1-37", "1"), adt("A08", "4", day+"150000")},
			status: Discharged, number: 1, on: "2026-09-02", flags: []string{FlagSwapped}},
		"a bad NHS number put right": {messages: [][]byte{discharge("3", day+"143000", "PID-3", "9990000027^^^NHS^NH~1234567^^^RAJ^PI"), adt("A08", "4", day+"150000")},
			status: Discharged, number: 1, on: "2026-09-02"},
	} {
		s := folded(t, c.messages...).Spell
		number, on := 0, ""
		if s.Discharge != nil {
			number, on = s.Discharge.Number, s.Discharge.On
		}
		if s.Status != c.status || number != c.number || on != c.on || !slices.Equal(s.Flags, c.flags) {
			t.Errorf("%s: %s, number %d on %q, flags %v; want %s, %d, %q, %v", name, s.Status, number, on, s.Flags, c.status, c.number, c.on, c.flags)
		}
	}
}

// TestSpellProblems says which contradictions the fold tells, and that each ends with what settles it.
func TestSpellProblems(t *testing.T) {
	left, admitted := discharge("3", day+"143000"), adt("A01", "1", "20260825092000")
	again := adt("A01", "4", "20260910150000", "PV1-44", "20260910145000")
	update := adt("A08", "3", day+"143000", "PV1-45", day+"142500")
	for name, c := range map[string]struct {
		messages [][]byte
		want     []string
	}{
		"none":                                   {[][]byte{admitted, left}, nil},
		"a discharge time without a discharge":   {[][]byte{admitted, update}, []string{FlagTimeWithoutDischarge}},
		"its discharge came":                     {[][]byte{admitted, update, discharge("4", day+"150000")}, nil},
		"its discharge came, recorded before":    {[][]byte{admitted, update, discharge("2", day+"142900")}, nil},
		"the time was taken back":                {[][]byte{admitted, update, adt("A08", "4", day+"150000", "PV1-45", `""`)}, nil},
		"a cancel that is sent again":            {[][]byte{admitted, left, adt("A13", "4", day+"150000"), adt("A13", "5", day+"150000"), adt("A13", "6", day+"160000")}, nil},
		"a cancel again, then a discharge's":     {[][]byte{adt("A13", "1", day+"140000"), left, adt("A13", "4", day+"150000"), adt("A13", "5", day+"160000")}, nil},
		"a cancel of a voided stay's discharge":  {[][]byte{left, adt("A13", "4", day+"150000"), adt("A11", "5", day+"160000"), admitted, adt("A13", "6", day+"170000")}, []string{FlagCancelWithoutDischarge}},
		"a cancel without a discharge":           {[][]byte{admitted, adt("A13", "4", day+"150000")}, []string{FlagCancelWithoutDischarge}},
		"its discharge came late":                {[][]byte{admitted, adt("A13", "4", day+"150000"), left}, nil},
		"a second stay":                          {[][]byte{left, again}, []string{FlagAdmittedAfterDischarge}},
		"a second stay and its discharge":        {[][]byte{left, again, discharge("5", "20260912150000")}, []string{FlagAdmittedAfterDischarge}},
		"a second stay, the discharge cancelled": {[][]byte{left, again, adt("A13", "5", "20260912150000")}, nil},
		"an admission recorded again":            {[][]byte{left, adt("A01", "4", day+"150000")}, nil},
		"a contradictory death":                  {[][]byte{discharge("3", day+"143000", "PV1-36", "Dead")}, []string{ContradictoryDeath}},
	} {
		for range 2 {
			state := folded(t, c.messages...)
			if diff := cmp.Diff(c.want, kinds(state.Problems)); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			for _, p := range state.Problems {
				if !slices.Contains(SpellProblems(), p.Kind) || p.Where == "" || p.Found == "" || p.Do == "" {
					t.Errorf("%s: %+v", name, p)
				}
			}
			slices.Reverse(c.messages)
		}
	}
}

func TestTheDischargesDateIsLondons(t *testing.T) {
	for at, want := range map[string]string{
		"20260329003000":      "2026-03-29", // half an hour before the clocks go forward
		"20260329013000":      "2026-03-29", // a time that never comes
		"20261025013000":      "2026-10-25", // a time that comes twice
		"20261024233000":      "2026-10-24",
		"20261025000000":      "2026-10-25",
		"20260715000500":      "2026-07-15", // still the 14th in UTC
		"20260714230500+0000": "2026-07-15",
		"20260115000500":      "2026-01-15",
		"20260714":            "2026-07-14",
	} {
		s := folded(t, discharge("1", "20261231120000", "PV1-45", at, "PV1-44", "20251201")).Spell
		if s.Discharge.On != want {
			t.Errorf("%s is on %s, want %s", at, s.Discharge.On, want)
		}
	}
}

func TestPracticeAndHomeAtTheDischargeAndLater(t *testing.T) {
	const other, address = "NEW^^F81010", "2 NEW ROAD^^^^RM15 4AD^^H"
	left := discharge("3", day+"143000")
	type place struct{ Practice, PracticeLater, Sector, SectorLater string }
	for name, c := range map[string]struct {
		messages [][]byte
		want     place
	}{
		"as told by the discharge": {[][]byte{left}, place{"F81155", "", "RM17 5", ""}},
		"an update without EVN-6 corrects": {[][]byte{left, adt("A08", "4", "20260910120000", "PD1-3", other, "PID-11", address)},
			place{"F81010", "", "RM15 4", ""}},
		"an update effective before corrects": {[][]byte{left, adt("A08", "4", "20260910120000", "EVN-6", "20260901120000", "PD1-3", other, "PID-11", address)},
			place{"F81010", "", "RM15 4", ""}},
		"an update effective after is a change since": {[][]byte{left, adt("A08", "4", "20260910120000", "EVN-6", "20260909120000", "PD1-3", other, "PID-11", address)},
			place{"F81155", "F81010", "RM17 5", "RM15 4"}},
		"a change since to what it was is none": {[][]byte{left, adt("A08", "4", "20260910120000", "EVN-6", "20260909120000")},
			place{"F81155", "", "RM17 5", ""}},
		"before the next discharge it is at the discharge": {[][]byte{left, adt("A08", "4", "20260910120000", "EVN-6", "20260909120000", "PD1-3", other, "PID-11", address),
			adt("A13", "5", "20260911120000", "PD1-3", "", "PID-11", ""), discharge("6", "20260912120000", "PV1-45", "20260912110000", "PD1-3", "", "PID-11", "")},
			place{"F81010", "", "RM15 4", ""}},
		"a discharge to the day covers the whole day": {[][]byte{discharge("3", day+"143000", "PV1-45", day), adt("A08", "4", "20260910120000", "EVN-6", day+"180000", "PD1-3", other)},
			place{"F81010", "", "RM17 5", ""}},
		"a discharge's own EVN-6 is no change since": {[][]byte{discharge("3", day+"160000", "EVN-6", day+"153000")},
			place{"F81155", "", "RM17 5", ""}},
		"silence keeps, a null deletes": {[][]byte{left, adt("A08", "4", "20260903120000", "PD1-3", "", "PID-11", `""`)}, place{"F81155", "", "", ""}},
	} {
		s := folded(t, c.messages...).Spell
		got := place{s.PracticeCode, s.PracticeCodeLater, s.HomePostcodeSector, s.HomePostcodeSectorLater}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestDeathAsMessagesTellIt(t *testing.T) {
	for name, c := range map[string]struct {
		messages [][]byte
		want     Death
		flags    []string
	}{
		"nothing said":                         {messages: [][]byte{discharge("1", day+"143000")}, want: DeathNone},
		"by indicator":                         {messages: [][]byte{discharge("1", day+"143000", "PID-30", "Y")}, want: DeathDied},
		"by method":                            {messages: [][]byte{discharge("1", day+"143000", "PV1-36", "4")}, want: DeathDied},
		"by destination":                       {messages: [][]byte{discharge("1", day+"143000", "PV1-37", "79")}, want: DeathDied},
		"by method, swapped":                   {messages: [][]byte{discharge("1", day+"143000", "PV1-36", "79", "PV1-37", "4")}, want: DeathDied, flags: []string{FlagSwapped}},
		"by method, though the indicator is N": {messages: [][]byte{discharge("1", day+"143000", "PV1-36", "4", "PID-30", "N")}, want: DeathDied, flags: []string{FlagIndicatorDisagrees}},
		"by time, indicator blank":             {messages: [][]byte{discharge("1", day+"143000", "PID-29", day+"120000")}, want: DeathDied},
		"time of death with N":                 {messages: [][]byte{discharge("1", day+"143000", "PID-29", day+"120000", "PID-30", "N")}, want: DeathContradictory},
		"in words only":                        {messages: [][]byte{discharge("1", day+"143000", "PV1-36", "Deceased")}, want: DeathContradictory},
		"in words, with N":                     {messages: [][]byte{discharge("1", day+"143000", "PV1-37", "R.I.P.", "PID-30", "N")}, want: DeathContradictory},
		"in words, with Y":                     {messages: [][]byte{discharge("1", day+"143000", "PV1-36", "Dead", "PID-30", "Y")}, want: DeathDied},
		"in words, then in codes":              {messages: [][]byte{discharge("1", day+"143000", "PV1-36", "Dead"), discharge("2", day+"150000")}, want: DeathNone},
		"in words, then half in codes":         {messages: [][]byte{discharge("1", day+"143000", "PV1-36", "Dead"), discharge("2", day+"150000", "PV1-36", "")}, want: DeathContradictory},
		"after the discharge, by update":       {messages: [][]byte{discharge("1", day+"143000"), adt("A08", "2", "20260905120000", "PID-29", "20260904", "PID-30", "Y")}, want: DeathDied},
		"the cancelled discharge was by death": {messages: [][]byte{discharge("1", day+"143000", "PV1-36", "4", "PV1-37", "79"), adt("A13", "2", day+"150000")}, want: DeathNone, flags: []string{FlagDischargeCancelled}},
		"corrected in all that told it":        {messages: [][]byte{discharge("1", day+"143000", "PV1-36", "4", "PV1-37", "79", "PID-29", day, "PID-30", "Y"), discharge("2", day+"150000", "PID-29", `""`, "PID-30", "N")}, want: DeathNone},
		"corrected, but the time stands":       {messages: [][]byte{discharge("1", day+"143000", "PID-29", day, "PID-30", "Y"), discharge("2", day+"150000", "PID-30", "N")}, want: DeathContradictory},
		"corrected, but the method stands":     {messages: [][]byte{discharge("1", day+"143000", "PV1-36", "4", "PID-29", day, "PID-30", "Y"), adt("A08", "2", day+"150000", "PID-29", `""`, "PID-30", "N")}, want: DeathDied, flags: []string{FlagIndicatorDisagrees}},
		"by method in the other field":         {messages: [][]byte{discharge("1", day+"143000", "PV1-37", "4")}, want: DeathContradictory},
		"by stillbirth in the other field":     {messages: [][]byte{discharge("1", day+"143000", "PV1-37", "5")}, want: DeathContradictory},
		"by destination in the other field":    {messages: [][]byte{discharge("1", day+"143000", "PV1-36", "79")}, want: DeathContradictory},
		"in the other field, then put right":   {messages: [][]byte{discharge("1", day+"143000", "PV1-36", "79"), discharge("2", day+"150000")}, want: DeathNone},
		"in both fields":                       {messages: [][]byte{discharge("1", day+"143000", "PV1-36", "79", "PV1-37", "79")}, want: DeathDied},
		"by indicator in words":                {messages: [][]byte{discharge("1", day+"143000", "PID-30", "Deceased")}, want: DeathContradictory, flags: []string{FlagIndicatorUnreadable}},
		"by indicator in words, then Y":        {messages: [][]byte{discharge("1", day+"143000", "PID-30", "D"), adt("A08", "2", day+"150000", "PID-30", "Y")}, want: DeathDied},
		"by indicator in words, then N":        {messages: [][]byte{discharge("1", day+"143000", "PID-30", "Died"), adt("A08", "2", day+"150000", "PID-30", "N")}, want: DeathNone},
		"by indicator in words, then null":     {messages: [][]byte{discharge("1", day+"143000", "PID-30", "Dead"), adt("A08", "2", day+"150000", "PID-30", `""`)}, want: DeathNone},
		"by indicator in words, then silence":  {messages: [][]byte{discharge("1", day+"143000", "PID-30", "Dead"), adt("A08", "2", day+"150000")}, want: DeathContradictory, flags: []string{FlagIndicatorUnreadable}},
		"N, then by indicator in words":        {messages: [][]byte{discharge("1", day+"143000", "PID-30", "N"), adt("A08", "2", day+"150000", "PID-30", "Deceased")}, want: DeathContradictory, flags: []string{FlagIndicatorUnreadable}},
		"YES for a time":                       {messages: [][]byte{discharge("1", day+"143000", "PID-29", "YES")}, want: DeathContradictory},
		"YES for a time, with N":               {messages: [][]byte{discharge("1", day+"143000", "PID-29", "YES", "PID-30", "N")}, want: DeathContradictory},
		"YES for a time, with Y":               {messages: [][]byte{discharge("1", day+"143000", "PID-29", "YES", "PID-30", "Y")}, want: DeathDied},
		"YES for a time, then N":               {messages: [][]byte{discharge("1", day+"143000", "PID-29", "YES"), adt("A08", "2", day+"150000", "PID-30", "N")}, want: DeathNone},
		"YES for a time, then a time":          {messages: [][]byte{discharge("1", day+"143000", "PID-29", "YES"), adt("A08", "2", day+"150000", "PID-29", day)}, want: DeathDied},
		"YES for a time, then null":            {messages: [][]byte{discharge("1", day+"143000", "PID-29", "YES"), adt("A08", "2", day+"150000", "PID-29", `""`)}, want: DeathNone},
		"YES for a time, after the cancel":     {messages: [][]byte{discharge("1", day+"143000", "PID-29", "YES"), adt("A13", "2", day+"150000")}, want: DeathContradictory, flags: []string{FlagDischargeCancelled}},
		"a month of death, indicator blank":    {messages: [][]byte{discharge("1", day+"143000", "PID-29", "202609")}, want: DeathDied},
		"a year of death with N":               {messages: [][]byte{discharge("1", day+"143000", "PID-29", "2026", "PID-30", "N")}, want: DeathContradictory},
		"the indicator taken back by null":     {messages: [][]byte{discharge("1", day+"143000", "PID-30", "Y"), adt("A08", "2", day+"150000", "PID-30", `""`)}, want: DeathNone},
	} {
		for range 2 {
			state := folded(t, c.messages...)
			if state.Spell.Death != c.want || !slices.Equal(state.Spell.Flags, c.flags) {
				t.Errorf("%s: %s, flags %v; want %s, %v", name, state.Spell.Death, state.Spell.Flags, c.want, c.flags)
			}
			if held := slices.Contains(kinds(state.Problems), ContradictoryDeath); held != (c.want == DeathContradictory) {
				t.Errorf("%s: problems %v", name, state.Problems)
			}
			slices.Reverse(c.messages)
		}
	}
}

// What a message without a patient number tells of its person lends nobody an identity, by which the next message of somebody else would be taken for theirs.
func TestAMessageWithoutAPatientNumberMakesNobodyElseThePerson(t *testing.T) {
	for name, c := range map[string]struct{ first, nobody, other []string }{
		"another birth date": {nil, []string{"PID-7", "19500101"}, []string{"PID-7", "19500101"}},
		"another NHS number, the same birth year": {nil, []string{"PID-3", "9990000034^^^NHS^NH", "PID-7", "1941"},
			[]string{"PID-3", "9990000034^^^NHS^NH~2222^^^RAJ^PI", "PID-7", ""}},
		"a birth date where none was known": {[]string{"PID-7", ""}, []string{"PID-7", "19500101"}, []string{"PID-7", "19500101"}},
		"an NHS number where none was known": {[]string{"PID-7", ""}, []string{"PID-3", "9990000034^^^NHS^NH", "PID-7", ""},
			[]string{"PID-3", "9990000034^^^NHS^NH~2222^^^RAJ^PI", "PID-7", ""}},
	} {
		state := folded(t,
			adt("A01", "1", "20260825092000", append([]string{"PID-3", "1111^^^RAJ^PI"}, c.first...)...),
			discharge("2", day+"143000", append([]string{"PID-3", ""}, c.nobody...)...),
			discharge("3", day+"150000", append([]string{"PID-3", "2222^^^RAJ^PI", "PD1-3", "X^^F81010"}, c.other...)...))
		if !slices.Contains(kinds(state.Problems), VisitNumberReused) || state.Person.PatientNumber != "1111" || len(state.LeftOut) != 1 {
			t.Errorf("%s: number %s, problems %v", name, state.Person.PatientNumber, state.Problems)
		}
	}
}

func TestAVisitNumberUsedForTwoPeople(t *testing.T) {
	first := []string{"PID-3", "9990000026^^^NHS^NH~1111^^^RAJ^PI"}
	with := func(ids, birth string) []byte {
		return discharge("9", day+"143000", "PID-3", ids, "PID-7", birth, "PD1-3", "X^^F81010")
	}
	for name, c := range map[string]struct {
		second []byte
		reused bool
	}{
		"the same patient number":                                         {with("9990000034^^^NHS^NH~1111^^^RAJ^PI", "19410312"), false},
		"the same patient number, another NHS number and birth date":      {with("9990000034^^^NHS^NH~1111^^^RAJ^PI", "19500101"), true},
		"the same patient number, another birth date":                     {with("1111^^^RAJ^PI", "19500101"), false},
		"no patient number":                                               {with("", "19500101"), false},
		"no patient number, another NHS number":                           {with("9990000034^^^NHS^NH", ""), false},
		"no patient number, another NHS number, the same birth date":      {with("9990000034^^^NHS^NH", "19410312"), false},
		"no patient number, another NHS number, the same birth year":      {with("9990000034^^^NHS^NH", "1941"), false},
		"no patient number, another NHS number and birth date":            {with("9990000034^^^NHS^NH", "19500101"), true},
		"another patient number, nothing else":                            {with("2222^^^RAJ^PI", ""), true},
		"another patient number and the birth year":                       {with("2222^^^RAJ^PI", "1941"), true},
		"another patient number, the same NHS number, another birth date": {with("9990000026^^^NHS^NH~2222^^^RAJ^PI", "19500101"), false},
		"another patient number, the same NHS number":                     {with("9990000026^^^NHS^NH~2222^^^RAJ^PI", "19410312"), false},
		"another patient number and NHS number":                           {with("9990000034^^^NHS^NH~2222^^^RAJ^PI", "19410312"), true},
		"another patient number and a bad NHS number":                     {with("9990000035^^^NHS^NH~2222^^^RAJ^PI", "19410312"), false},
		"another patient number and birth date":                           {with("2222^^^RAJ^PI", "19500101"), true},
		"another patient number and the same birth date":                  {with("2222^^^RAJ^PI", "19410312"), false},
	} {
		state := folded(t, c.second, adt("A01", "1", "20260825092000", first...))
		if got := slices.Contains(kinds(state.Problems), VisitNumberReused); got != c.reused || got != slices.Contains(state.Spell.Flags, VisitNumberReused) {
			t.Errorf("%s: problems %v, flags %v", name, state.Problems, state.Spell.Flags)
		}
		wantStatus, wantPractice, wantLeftOut := Discharged, "F81010", 0
		if c.reused {
			wantStatus, wantPractice, wantLeftOut = InHospital, "F81155", 1
		}
		if state.Spell.Status != wantStatus || state.Spell.PracticeCode != wantPractice || len(state.LeftOut) != wantLeftOut {
			t.Errorf("%s: %s, practice %s, left out %v", name, state.Spell.Status, state.Spell.PracticeCode, state.LeftOut)
		}
	}
}

func TestAMoveToAnotherWardChangesNothingThatIsPublished(t *testing.T) {
	before := folded(t, adt("A01", "1", "20260825092000"))
	after := folded(t, adt("A01", "1", "20260825092000"), adt("A02", "2", "20260826092000", "PV1-3", "OAK^^^RAJ12"))
	if diff := cmp.Diff(before.Spell, after.Spell); diff != "" {
		t.Error(diff)
	}
	if before.Person.Ward != "ELM" || after.Person.Ward != "OAK" {
		t.Errorf("wards %q and %q", before.Person.Ward, after.Person.Ward)
	}
}

// TestWhoIsWhoByAllThatIsTold lists messages in the order of their recording: patient number, NHS number and birth date of each, and
// whether it is about the spell's person.
func TestWhoIsWhoByAllThatIsTold(t *testing.T) {
	const own, other = "9990000026", "9990000034"
	type told struct {
		patient, nhs, birth string
		own                 bool
	}
	for name, c := range map[string][]told{
		"a number without more that a later message confirms": {{"1", own, "19410312", true}, {"2", "", "", true}, {"2", own, "", true}},
		"a number without more that an earlier one confirmed": {{"1", own, "", true}, {"2", own, "", true}, {"2", "", "", true}, {"1", "", "", true}},
		"a number that nothing ever confirms":                 {{"1", own, "19410312", true}, {"2", "", "", false}, {"1", "", "", true}, {"2", other, "", false}},
		"the first message tells nothing but its number":      {{"1", "", "", true}, {"2", own, "", true}, {"1", own, "", true}, {"3", other, "", false}},
		"the first message has no patient number":             {{"", own, "19410312", true}, {"2", other, "19500101", false}, {"1", own, "19410312", true}, {"2", "", "", false}},
		"NHS number corrected, then birth date":               {{"1", own, "19410312", true}, {"1", other, "19410312", true}, {"1", other, "19500101", true}},
		"NHS number corrected, then the birth date alone":     {{"1", own, "19410312", true}, {"1", other, "19410312", true}, {"1", "", "19500101", true}, {"1", other, "", true}},
		"NHS number taken back, then told":                    {{"1", own, "19410312", true}, {"2", `""`, "", true}, {"2", own, "", true}},
		"one person after another under one number":           {{"1", own, "19410312", true}, {"1", other, "19500101", false}, {"1", "", "", true}},
		"birth year made a date":                              {{"1", own, "1941", true}, {"1", other, "19410312", true}},
	} {
		var facts []Fact
		var want []string
		for i, m := range c {
			raw := adt("A08", fmt.Sprint(i), fmt.Sprintf("%s1430%02d", day, i), "PID-3", m.nhs+"^^^NHS^NH~"+m.patient+"^^^RAJ^PI", "PID-7", m.birth)
			f := reading(t, raw).Fact
			if facts = append(facts, f); !m.own {
				want = append(want, f.Digest)
			}
		}
		for range 2 {
			if diff := cmp.Diff(want, Fold(facts).LeftOut); diff != "" {
				t.Errorf("%s: left out: %s", name, diff)
			}
			slices.Reverse(facts)
		}
	}
}

func TestScopeIsSocialCareOnceAnySuchFeedKnowsThePerson(t *testing.T) {
	raw := discharge("3", day+"143000")
	all, err := FromHL7(feedNamed(t, "mse-all"), raw)
	if err != nil {
		t.Fatal(err)
	}
	if s := Fold([]Fact{all.Fact}).Spell; s.Scope != ScopeWholeHospital {
		t.Errorf("scope %s", s.Scope)
	}
	own := reading(t, adt("A01", "1", "20260825092000"))
	s := Fold([]Fact{all.Fact, own.Fact}).Spell
	if s.Scope != ScopeSocialCare || s.Feed != "mse-all" {
		t.Errorf("scope %s, feed %s", s.Scope, s.Feed)
	}
}

func TestWhatHubStaffRecordSaysNothingAboutScopeUnlessNobodyElseDoes(t *testing.T) {
	all, err := FromHL7(feedNamed(t, "mse-all"), discharge("3", day+"143000"))
	if err != nil {
		t.Fatal(err)
	}
	byHand := all.Fact
	byHand.Scope, byHand.Kind, byHand.Digest = ScopeNotTold, KindUpdate, "other"
	if s := Fold([]Fact{all.Fact, byHand}).Spell; s.Scope != ScopeWholeHospital {
		t.Errorf("a correction by hand made the scope %s", s.Scope)
	}
	if s := Fold([]Fact{byHand}).Spell; s.Scope != ScopeSocialCare {
		t.Errorf("whom only the hub has recorded has scope %s", s.Scope)
	}
}

func TestNoFactsFoldToNothing(t *testing.T) {
	if diff := cmp.Diff(State{}, Fold(nil)); diff != "" {
		t.Error(diff)
	}
}

func TestExpectedDischarge(t *testing.T) {
	admitted := adt("A01", "1", day+"0900", "PV2-9", "20260905")
	for _, c := range []struct {
		name     string
		messages [][]byte
		want     string
	}{
		{"told", [][]byte{admitted}, "2026-09-05"},
		{"told with a time", [][]byte{adt("A08", "1", day+"0900", "PV2-9", "202609052330")}, "2026-09-05"},
		{"changed", [][]byte{admitted, adt("A08", "2", day+"1000", "PV2-9", "20260907")}, "2026-09-07"},
		{"silence changes nothing", [][]byte{admitted, adt("A02", "2", day+"1000")}, "2026-09-05"},
		{"deleted", [][]byte{admitted, adt("A08", "2", day+"1000", "PV2-9", `""`)}, ""},
		{"unreadable", [][]byte{admitted, adt("A08", "2", day+"1000", "PV2-9", "next week")}, "2026-09-05"},
		{"left", [][]byte{admitted, discharge("3", day+"1430")}, ""},
		{"the discharge cancelled", [][]byte{admitted, discharge("3", day+"1430"), adt("A13", "4", day+"1500")}, "2026-09-05"},
	} {
		if got := folded(t, c.messages...).Spell.ExpectedDischargeOn; got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
