package lighttouch

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/light-touch-assessment/assessment"
)

// FuzzSpell gives the service the data of two events of a spell. An assessment that has followed both is as if it had only seen the later
// one: versions that the bus left out cannot matter.
func FuzzSpell(f *testing.F) {
	spell := func(status dischargev1.SpellStatus, death dischargev1.Death, d *dischargev1.Discharge) []byte {
		data, err := proto.Marshal(&dischargev1.Spell{SpellId: "6f1c2f0e-3a55-5d0c-9a52-7d3b8f1e2a44", Status: status, Death: death, Discharge: d})
		if err != nil {
			f.Fatal(err)
		}
		return data
	}
	left := time.Date(2026, 9, 2, 13, 25, 0, 0, time.UTC)
	inHospital := spell(dischargev1.SpellStatus_SPELL_STATUS_IN_HOSPITAL, dischargev1.Death_DEATH_NONE, nil)
	discharged := spell(dischargev1.SpellStatus_SPELL_STATUS_DISCHARGED, dischargev1.Death_DEATH_NONE,
		&dischargev1.Discharge{At: timestamppb.New(left), On: "2026-09-02", Method: "1", Destination: "19", Number: 1})
	died := spell(dischargev1.SpellStatus_SPELL_STATUS_DISCHARGED, dischargev1.Death_DEATH_DIED, &dischargev1.Discharge{At: timestamppb.New(left), Method: "4"})
	voided := spell(dischargev1.SpellStatus_SPELL_STATUS_VOIDED, dischargev1.Death_DEATH_CONTRADICTORY, nil)
	noTime := spell(dischargev1.SpellStatus_SPELL_STATUS_DISCHARGED, dischargev1.Death_DEATH_NONE, &dischargev1.Discharge{Number: 2})
	f.Add(inHospital, discharged, byte(0))
	f.Add(discharged, voided, byte(1))
	f.Add(died, discharged, byte(2))
	f.Add(voided, noTime, byte(3))
	f.Add([]byte("\x42\x06\x0a\x04\x08\x80\x80\x80"), []byte("\x30\xff\xff\xff\xff\x0f"), byte(0))
	statuses := []assessment.Status{assessment.Requested, assessment.Complete, assessment.Superseded, assessment.Declined}
	f.Fuzz(func(t *testing.T, first, second []byte, status byte) {
		a := assessment.Assessment{Status: statuses[int(status)%len(statuses)], Conditions: []assessment.Condition{
			{Due: assessment.BeforeLeaving}, {Due: assessment.BeforeLeaving, MetAt: left}, {Due: assessment.BeforeLeaving, MetAt: left.Add(time.Second)},
		}}
		seen := a
		for _, data := range [][]byte{first, second} {
			s, err := readSpell(data)
			if err != nil {
				continue
			}
			var told dischargev1.Spell
			if err := proto.Unmarshal(data, &told); err != nil {
				t.Fatal(err)
			}
			if !s.LeftAt.IsZero() && told.GetDischarge().GetAt() == nil {
				t.Fatalf("left at %v, which nobody told", s.LeftAt)
			}
			seen = assessment.Follow(seen, s)
			if want := assessment.Follow(a, s); !reflect.DeepEqual(want, seen) {
				t.Fatal(cmp.Diff(want, seen))
			}
			over := told.GetStatus() == dischargev1.SpellStatus_SPELL_STATUS_VOIDED || told.GetDeath() == dischargev1.Death_DEATH_DIED
			if waits := seen.Status == assessment.Requested; waits && over || seen.LeftWithUnmet > len(a.Conditions) || seen.LeftWithUnmet > 0 && s.Voided {
				t.Fatalf("%v makes %+v", &told, seen)
			}
		}
	})
}
