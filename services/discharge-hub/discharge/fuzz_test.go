package discharge

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func FuzzFromHL7(f *testing.F) {
	f.Add(adt("A03", "1", day+"1430", "PV1-45", day+"142500", "PV1-36", "1", "PV1-37", "19"))
	f.Add(adt("A08", "2", day+"1430", "EVN-6", `""`, "PID-3", `""`, "PID-29", "00010101", "PID-30", "Y"))
	f.Add(adt("A13", "3", "", "EVN-6", day, "PV1-19", "", "PD1-3", "~~^^F81155"))
	feed := feedNamed(f, "mse-basildon")
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := FromHL7(feed, raw)
		if err != nil || r.NotHandled != "" {
			return
		}
		if r.Usable != (r.Fact.SpellID != "" && !r.Fact.Recorded.IsZero()) && len(r.Problems) == 0 {
			t.Fatalf("not usable and nobody is told: %+v", r)
		}
		if !r.Usable {
			return
		}
		data, err := json.Marshal(r.Fact)
		if err != nil {
			t.Fatalf("%+v can't be stored: %v", r.Fact, err)
		}
		var back Fact
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatalf("%s can't be read: %v", data, err)
		}
		if diff := cmp.Diff(Fold([]Fact{r.Fact}), Fold([]Fact{back})); diff != "" {
			t.Fatalf("the stored fact folds to something else: %s", diff)
		}
	})
}
