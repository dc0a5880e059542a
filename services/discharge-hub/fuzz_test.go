package dischargehub

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/feeds"
)

// FuzzRecordEvent gives the hub two stored requests. What the door would have taken is a fact or has an owner; the facts of one spell
// publish the same bytes in any order and read from the database again, and those bytes are read as what was published.
func FuzzRecordEvent(f *testing.F) {
	all, err := discharge.LoadFeeds(feeds.Files)
	if err != nil {
		f.Fatal(err)
	}
	feed := all[slices.IndexFunc(all, func(f discharge.Feed) bool { return f.Key == "hub-staff" })]
	request := func(change func(*dischargev1.RecordEventRequest)) []byte {
		r := &dischargev1.RecordEventRequest{
			Feed: "hub-staff", MessageId: "web-1", Kind: dischargev1.EventKind_EVENT_KIND_DISCHARGE, RecordedAt: timestamppb.New(day(2, 15)),
			VisitNumber: "SPELL0001", PatientNumber: "1234567", AdmittedAt: timestamppb.New(day(1, 9)), Site: "RAJ12", Ward: "ELM",
			Person: &dischargev1.Person{NhsNumber: "999 000 0026", FamilyName: "TESTER", GivenName: "Ada", BirthDate: "1941-03-12", Postcode: "rm17 5aa",
				PracticeCode: "F81155"},
			DischargedAt: timestamppb.New(day(2, 14)), DischargeMethod: "1", DischargeDestination: "19", DestinationPostcode: "SS17 0PH",
			Involvements: []dischargev1.Involvement{dischargev1.Involvement_INVOLVEMENT_COUNCIL_PACKAGE}, Pathway: dischargev1.Pathway_PATHWAY_2,
		}
		change(r)
		data, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		return data
	}
	whole := request(func(*dischargev1.RecordEventRequest) {})
	f.Add(whole, request(func(r *dischargev1.RecordEventRequest) {
		r.MessageId, r.Kind, r.RecordedAt = "web-2", dischargev1.EventKind_EVENT_KIND_CANCEL_DISCHARGE, timestamppb.New(day(2, 16))
	}))
	f.Add(whole, request(func(r *dischargev1.RecordEventRequest) {
		r.Kind, r.Person.DiedAt, r.Person.DeathIndicator = dischargev1.EventKind_EVENT_KIND_UPDATE, timestamppb.New(day(3, 1)), dischargev1.DeathIndicator_DEATH_INDICATOR_NO
	}))
	f.Add(whole, request(func(r *dischargev1.RecordEventRequest) {
		r.Person.FamilyName, r.DischargeMethod = "O'BRIEN-\u00c6R\x00", "Dead"
	}))
	f.Add(whole, request(func(r *dischargev1.RecordEventRequest) {
		r.Kind, r.PriorPatientNumber = dischargev1.EventKind_EVENT_KIND_MERGE, "7654321"
	}))
	f.Add([]byte{}, request(func(r *dischargev1.RecordEventRequest) {
		r.RecordedAt, r.DischargedAt = &timestamppb.Timestamp{Seconds: 253402300799}, nil // the last second of the year 9999
	}))
	f.Add(whole, request(func(r *dischargev1.RecordEventRequest) { r.RecordedAt = &timestamppb.Timestamp{Seconds: 1 << 50} }))
	f.Add(whole, request(func(r *dischargev1.RecordEventRequest) { r.VisitNumber, r.AdmittedAt = "", nil }))
	f.Add(whole, []byte("\x0a\x09hub-staff\x12\x01\xff\x18\x03"))

	f.Fuzz(func(t *testing.T, first, second []byte) {
		bySpell := map[string][]discharge.Fact{}
		var people []discharge.Fact
		for _, body := range [][]byte{first, second} {
			var req dischargev1.RecordEventRequest
			if err := proto.Unmarshal(body, &req); err != nil || checkRecordEvent(&req) != nil {
				continue
			}
			if strings.ContainsRune(req.GetMessageId(), 0) {
				t.Fatal("the door takes a message id that can't be stored")
			}
			r, err := readRecordEvent(feed, body)
			if err != nil {
				t.Fatalf("the door takes what can't be read: %v", err)
			}
			if r.Fact.Kind.OfPerson() && r.Usable {
				if r.Fact.SpellID != "" || r.Fact.PatientNumber == "" {
					t.Fatalf("of a person, and kept as %+v", r.Fact)
				}
				people = append(people, r.Fact)
				continue
			}
			if !r.Usable {
				if len(r.Problems) == 0 && r.Fact.SpellID != "" {
					t.Fatalf("not usable, and nobody is told: %v", &req)
				}
				continue
			}
			told := spellOf(feed, &req)
			if want := discharge.SpellID(feed.Provider, strings.TrimSpace(req.GetVisitNumber()), strings.TrimSpace(req.GetPatientNumber()),
				optionalTime(req.GetAdmittedAt())); r.Fact.SpellID != want || told != want {
				t.Fatalf("the sender is told of spell %s, and %s is kept; want %s", told, r.Fact.SpellID, want)
			}
			bySpell[r.Fact.SpellID] = append(bySpell[r.Fact.SpellID], r.Fact)
		}
		for _, facts := range bySpell {
			facts = append(facts, people...)
			data := published(t, facts)
			turned := append(slices.Clone(facts), facts...)
			slices.Reverse(turned)
			if again := published(t, turned); !bytes.Equal(data, again) {
				t.Fatalf("published %q, and %q in another order", data, again)
			}
			text, err := json.Marshal(facts)
			if err != nil {
				t.Fatalf("facts that can't be stored: %v", err)
			}
			if bytes.Contains(bytes.ReplaceAll(text, []byte(`\\`), nil), []byte(`\u0000`)) {
				t.Fatalf("%s can't be stored", text)
			}
			var kept []discharge.Fact
			if err := json.Unmarshal(text, &kept); err != nil {
				t.Fatalf("%s can't be read: %v", text, err)
			}
			if again := published(t, kept); !bytes.Equal(data, again) {
				t.Fatalf("published %q, and %q from the database", data, again)
			}
		}
	})
}

// published returns the published form of the spell of these facts, after reading it as a consumer does.
func published(t *testing.T, facts []discharge.Fact) []byte {
	state := discharge.Fold(facts)
	data, err := marshalSpell(state.Spell)
	if err != nil {
		t.Fatalf("a spell that can't be published: %v", err)
	}
	var p dischargev1.Spell
	if err := proto.Unmarshal(data, &p); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(&p, spellToProto(state.Spell)) {
		t.Fatalf("%v was published, %v is read", spellToProto(state.Spell), &p)
	}
	for _, at := range []*timestamppb.Timestamp{p.AdmittedAt, p.GetDischarge().GetAt()} {
		if at != nil && (at.CheckValid() != nil || at.AsTime().Year() < 1850 || at.AsTime().Year() > 2200) {
			t.Fatalf("published with the time %v", at.AsTime().Format(time.RFC3339))
		}
	}
	if d := p.GetDischarge(); (p.Status == dischargev1.SpellStatus_SPELL_STATUS_DISCHARGED) != (d != nil) || d != nil && d.At == nil {
		t.Fatalf("%v with discharge %v", p.Status, d)
	}
	if p.SpellId == "" || p.Reference == "" || p.Adult == 0 || p.Death == 0 || p.Status == 0 || p.Scope == 0 && state.Spell.Scope != discharge.ScopeNotTold {
		t.Fatalf("a spell that says too little: %v", &p)
	}
	return data
}
