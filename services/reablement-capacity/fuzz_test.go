package reablementcapacity

import (
	"testing"

	"google.golang.org/protobuf/proto"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/reablement-capacity/reablement"
)

// FuzzSpell gives the service the data of a spell's event. Only a spell that is read, and says so, ends a need; the same event again
// changes nothing.
func FuzzSpell(f *testing.F) {
	for _, p := range []*dischargev1.Spell{
		{Status: dischargev1.SpellStatus_SPELL_STATUS_DISCHARGED, Death: dischargev1.Death_DEATH_NONE, Discharge: &dischargev1.Discharge{Number: 1}},
		{Status: dischargev1.SpellStatus_SPELL_STATUS_VOIDED, Flags: []string{"cancel-without-discharge"}},
		{Status: dischargev1.SpellStatus_SPELL_STATUS_IN_HOSPITAL, Death: dischargev1.Death_DEATH_CONTRADICTORY},
		{Death: dischargev1.Death_DEATH_DIED}, {Status: 77, Death: -1},
	} {
		data, err := proto.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, byte(p.Status))
	}
	f.Add([]byte("\x0a\x02\xff\xfe\x30\x03"), byte(1))
	statuses := []reablement.Status{reablement.Requested, reablement.Held, reablement.Accepted, reablement.Started, reablement.Withdrawn}
	f.Fuzz(func(t *testing.T, data []byte, status byte) {
		ended, err := spellEnded(data)
		if err != nil {
			if ended {
				t.Fatal("ended by what cannot be read")
			}
			return
		}
		var told dischargev1.Spell
		if err := proto.Unmarshal(data, &told); err != nil {
			t.Fatal(err)
		}
		if ended != (told.Status.String() == "SPELL_STATUS_VOIDED" || told.Death.String() == "DEATH_DIED") {
			t.Fatalf("ended %v by %v", ended, &told)
		}
		need := reablement.Need{Status: statuses[int(status)%len(statuses)]}
		if need.Status != reablement.Requested && need.Status != reablement.Withdrawn {
			need.Place.Provider = "provider-a"
		}
		once := reablement.Follow(need, ended)
		if reablement.Follow(once, ended) != once || (once.Status == reablement.Withdrawn) != ended || ended && once.Place != (reablement.Place{}) {
			t.Fatalf("%+v becomes %+v by %v", need, once, &told)
		}
	})
}
