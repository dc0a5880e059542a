package dischargehub

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/discharge-hub/migrations"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/kittest"
)

// of is a message of a visit under a patient number, and says of the person no more than the number.
func of(trigger, controlID, number, visit string, recorded time.Time) *hl7.Builder {
	return adt(trigger, controlID, visit, recorded).SetRaw("PID-3", number+"^^^RAJ^PI").SetRaw("PID-5", "").Set("PID-7", "")
}

// ofPerson is a message about a person.
func ofPerson(trigger, controlID, number string, recorded time.Time) *hl7.Builder {
	return of(trigger, controlID, number, "", recorded).SetRaw("PID-11", "").Set("PD1-3.3", "").SetRaw("PV1-3", "").Set("PV1-44", "").Set("PID-30", "")
}

func merged(controlID, survivor, loser string, recorded time.Time) *hl7.Builder {
	return ofPerson("A40", controlID, survivor, recorded).SetRaw("MRG-1", loser+"^^^RAJ^PI")
}

// settled is told of everything: whatever is pending about people has been told to their spells.
func (h *hub) settled(t *testing.T) {
	t.Helper()
	h.interpreted(t)
	for deadline := time.Now().Add(time.Minute); h.count(t, `SELECT count(*) FROM person_pending`) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("spells are not told of their people")
		}
	}
}

// outcomes is all that comes of the messages: what is published of each spell, who its person is, and what is open for the hub.
func (h *hub) outcomes(t *testing.T) map[string]string {
	t.Helper()
	h.settled(t)
	rows, err := h.db.Pool.Query(t.Context(), `
		SELECT s.id, o.data, p.person, coalesce((SELECT string_agg(kind, ' ' ORDER BY kind, inbound_id) FROM exception e WHERE e.spell_id = s.id AND e.closed_at IS NULL), '')
		FROM spell s JOIN outbox o USING (id) JOIN person p ON p.spell_id = s.id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var id uuid.UUID
		var data []byte
		var person, exceptions string
		if err := rows.Scan(&id, &data, &person, &exceptions); err != nil {
			t.Fatal(err)
		}
		var s dischargev1.Spell
		if err := proto.Unmarshal(data, &s); err != nil {
			t.Fatal(err)
		}
		all[id.String()] = strings.ReplaceAll(prototext.Format(&s), "  ", " ") + person + "\n" + exceptions
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func spellOfVisit(visit string) string { return discharge.SpellID("RAJ", visit, "", time.Time{}) }

func TestWhatIsToldOfAPersonReachesTheSpellWhicheverComesFirst(t *testing.T) {
	news := func() *hl7.Builder {
		return ofPerson("A31", "P1", "1234567", day(4, 9)).Set("PD1-3.3", "F81010").Set("PID-30", "Y")
	}
	left := func() *hl7.Builder { return adt("A03", "M1", "V1", day(2, 14)) }
	for name, messages := range map[string][]*hl7.Builder{"the spell first": {left(), news()}, "the person first": {news(), left()}} {
		t.Run(name, func(t *testing.T) {
			h := startHub(t)
			for _, m := range messages {
				h.send(t, m.Bytes())
				h.settled(t)
			}
			s := h.spell(t, spellOfVisit("V1"))
			if s.GetDeath() != dischargev1.Death_DEATH_DIED || s.GetPracticeCode() != "F81155" || s.GetPracticeCodeLater() != "F81010" {
				t.Errorf("%v", s)
			}
			resp, err := opsv1.NewExplainServiceClient(h.dial(t, authn.Ops)).ExplainHandover(t.Context(), &opsv1.ExplainHandoverRequest{SpellId: spellOfVisit("V1")})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(resp.GetHops(), func(hop *opsv1.Hop) bool {
				return hop.GetName() == "message about the person" && strings.Contains(hop.GetState(), "P1, A31")
			}) {
				t.Error("the message about the person is not in the story of the handover")
			}
			_, err = h.client.GetHandover(t.Context(), &dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_ControlId{ControlId: "P1"}})
			if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "about a person") {
				t.Errorf("asked by the message about the person: %v", err)
			}
		})
	}
}

// The first message of a spell is interpreted and not committed yet when something is told of its person: neither sees the other.
func TestSpellThatBeginsMeanwhileIsToldOfItsPerson(t *testing.T) {
	h := newStepped(t)
	store := func(m *hl7.Builder) {
		raw := m.Bytes()
		if err := h.store.insertInbound(t.Context(), []*inbound{{Feed: "mse-basildon", Format: formatHL7, Body: raw, Accepted: true,
			Span: trace.SpanFromContext(t.Context()), digest: sha256.Sum256(raw), receivedAt: restoredAt}}); err != nil {
			t.Fatal(err)
		}
	}
	store(adt("A03", "M1", "V1", day(2, 14)))
	told := make(chan error, 1)
	err := h.db.InTx(t.Context(), "interpret", func(tx pgx.Tx) error {
		claimed, err := claimPending(t.Context(), tx, 1)
		if err != nil || len(claimed) != 1 {
			t.Fatalf("%d claimed, %v", len(claimed), err)
		}
		if err := h.in.apply(t.Context(), tx, []*reading{{pendingMessage: claimed[0], Reading: h.in.read(claimed[0])}}); err != nil {
			return err
		}
		h.send(ofPerson("A31", "P1", "1234567", day(4, 9)).Set("PID-30", "Y"))
		go func() { _, err := h.in.TellSpells(t.Context()); told <- err }()
		kittest.Eventually(t, "the telling waits for the batch", func() bool {
			var waits bool
			err := h.db.Pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&waits)
			return err == nil && waits
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-told; err != nil {
		t.Fatal(err)
	}
	if s, _ := h.published(); s.GetDeath() != dischargev1.Death_DEATH_DIED {
		t.Errorf("the spell knows nothing of it: %v", s)
	}
}

func TestPersonHasTheSameKeyInTheDatabase(t *testing.T) {
	db := kittest.Open(t, kittest.Database(t, migrations.FS))
	for _, number := range []string{"1234567", "RAJ/12", `1"3`, `1\\3`, "é", "a<b", strings.Repeat("9", 300), ""} {
		text, err := json.Marshal(discharge.Fact{Provider: "RAJ", PatientNumber: number, FamilyName: discharge.Tell(`"provider":"RF4","patient_number":"7"`)})
		if err != nil {
			t.Fatal(err)
		}
		var key *string
		if err := db.Pool.QueryRow(t.Context(), `SELECT fact_patient($1)`, string(text)).Scan(&key); err != nil {
			t.Fatal(err)
		}
		switch want, err := patientOf("RAJ", number); {
		case err != nil:
			t.Fatal(err)
		case number == "" && key != nil, number != "" && (key == nil || *key != want):
			t.Errorf("%q: %v in the database, %q here", number, key, want)
		}
	}
}

func TestPersonOfAnotherHospitalIsAnotherPerson(t *testing.T) {
	h := startHub(t)
	answers := h.send(t, adt("A03", "M1", "V1", day(2, 14)).Bytes(),
		ofPerson("A31", "P1", "1234567", day(4, 9)).Set("MSH-3", "BHRUTPAS").Set("MSH-4", "RF4").Set("PID-30", "Y").SetRaw("PID-3", "1234567^^^RF4^PI").Bytes())
	if h.settled(t); answers[1] != "AA P1" || h.count(t, `SELECT count(*) FROM person_fact`) != 1 {
		t.Fatalf("%s, and nothing is kept of the person", answers[1])
	}
	if s := h.spell(t, spellOfVisit("V1")); s.GetDeath() != dischargev1.Death_DEATH_NONE {
		t.Errorf("death %v by another hospital's number", s.GetDeath())
	}
}

func TestMergeJoinsTwoNumbersOfOneSpellAndItsRevocationPartsThem(t *testing.T) {
	h := startHub(t)
	open := func(kind string) int {
		h.settled(t)
		return h.count(t, `SELECT count(*) FROM exception WHERE kind = $1 AND closed_at IS NULL`, kind)
	}
	revoke := func(id string, recorded time.Time, number, prior string) error {
		_, err := h.client.RecordEvent(t.Context(), &dischargev1.RecordEventRequest{Feed: "hub-staff", MessageId: id, RecordedAt: timestamp(recorded),
			Kind: dischargev1.EventKind_EVENT_KIND_REVOKE_MERGE, PatientNumber: number, PriorPatientNumber: prior})
		return err
	}
	h.send(t, of("A01", "M1", "1111", "V1", day(1, 9)).Bytes(), of("A03", "M2", "2222", "V1", day(2, 14)).Bytes())
	if n := open(discharge.VisitNumberReused); n != 1 {
		t.Fatalf("%d exceptions for two people under one visit number", n)
	}
	if err := revoke("R0", day(2, 15), "2222", "1111"); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "prior_patient_number:") {
		t.Errorf("a merge that nobody told was revoked: %v", err)
	}
	h.send(t, merged("G1", "2222", "1111", day(3, 9)).Bytes())
	if n := open(discharge.VisitNumberReused); n != 0 {
		t.Errorf("%d exceptions are open though the numbers are one person's", n)
	}
	machine := dischargev1.NewDischargeHubServiceClient(kittest.Dial(t, h.cfg.GRPCAddr, h.issuer,
		authn.Principal{Subject: "client:mse", Roles: []authn.Role{authn.Integration}, Feeds: []string{"hub-staff"}}))
	if _, err := machine.RecordEvent(t.Context(), &dischargev1.RecordEventRequest{Feed: "hub-staff", MessageId: "R", RecordedAt: timestamp(day(4, 9)),
		Kind: dischargev1.EventKind_EVENT_KIND_REVOKE_MERGE, PatientNumber: "1111", PriorPatientNumber: "2222"}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a machine took a merge back: %v", err)
	}
	if s := h.spell(t, spellOfVisit("V1")); s.GetStatus() != dischargev1.SpellStatus_SPELL_STATUS_DISCHARGED {
		t.Errorf("the discharge under the other number is not the person's: %v", s)
	}
	if err := revoke("R1", day(4, 9), "1111", "2222"); err != nil {
		t.Fatal(err)
	}
	if n := open(discharge.VisitNumberReused); n != 1 {
		t.Errorf("%d exceptions after the merge was revoked", n)
	}
	if s := h.spell(t, spellOfVisit("V1")); s.GetStatus() != dischargev1.SpellStatus_SPELL_STATUS_IN_HOSPITAL {
		t.Errorf("the discharge is still the first person's: %v", s)
	}
	h.send(t, merged("G2", "1111", "2222", day(5, 9)).Bytes())
	if n := open(discharge.VisitNumberReused); n != 0 {
		t.Errorf("%d exceptions after it was merged again", n)
	}
	if n := h.count(t, `SELECT count(*) FROM spell`); n != 1 {
		t.Errorf("%d spells: a merge makes and loses none", n)
	}
}

func TestWhatIsToldUnderAMergedNumberReachesTheSpell(t *testing.T) {
	h := startHub(t)
	h.send(t, of("A03", "M1", "1111", "V1", day(2, 14)).Bytes(), ofPerson("A31", "P1", "2222", day(4, 9)).Set("PID-30", "Y").Bytes())
	h.settled(t)
	if s := h.spell(t, spellOfVisit("V1")); s.GetDeath() != dischargev1.Death_DEATH_NONE {
		t.Fatalf("somebody else's death is told of the spell: %v", s)
	}
	h.send(t, merged("G1", "3333", "1111", day(5, 9)).Bytes(), merged("G2", "2222", "3333", day(5, 10)).Bytes())
	h.settled(t)
	if s := h.spell(t, spellOfVisit("V1")); s.GetDeath() != dischargev1.Death_DEATH_DIED {
		t.Errorf("the death is told under a number of the same person, and not of the spell: %v", s)
	}
}

func TestTwoSpellsOfMergedNumbersMayBeOneStay(t *testing.T) {
	h := startHub(t)
	open := func() int {
		h.settled(t)
		return h.count(t, `SELECT count(*) FROM exception WHERE kind = 'two-keys-for-one-stay' AND closed_at IS NULL`)
	}
	h.send(t, of("A03", "M1", "1111", "V1", day(2, 9)).Bytes(), of("A03", "M2", "2222", "V2", day(2, 10)).Bytes())
	if n := open(); n != 0 {
		t.Fatalf("%d exceptions for two people", n)
	}
	h.send(t, merged("G1", "3333", "1111", day(3, 9)).Bytes(), merged("G2", "3333", "2222", day(3, 10)).Bytes())
	if n := open(); n != 1 {
		t.Errorf("%d exceptions for one person admitted once under two numbers", n)
	}
	if n := h.count(t, `SELECT count(*) FROM spell s JOIN outbox o USING (id)`); n != 2 {
		t.Errorf("%d spells", n)
	}
	if _, err := h.client.RecordEvent(t.Context(), &dischargev1.RecordEventRequest{Feed: "hub-staff", MessageId: "R1", RecordedAt: timestamp(day(4, 9)),
		Kind: dischargev1.EventKind_EVENT_KIND_REVOKE_MERGE, PatientNumber: "3333", PriorPatientNumber: "1111"}); err != nil {
		t.Fatal(err)
	}
	if n := open(); n != 0 {
		t.Errorf("%d exceptions after one merge of the two was revoked", n)
	}
}

// TestAStayUnderTwoNumbersStaysAnExceptionWhenItsMessagesAreReadAgain reads again the message about one spell that showed what is wrong with
// another one.
func TestAStayUnderTwoNumbersStaysAnExceptionWhenItsMessagesAreReadAgain(t *testing.T) {
	for _, visits := range [][2]string{{"V1", "V2"}, {"V2", "V1"}} {
		t.Run(visits[0]+" first", func(t *testing.T) {
			h := startHub(t)
			h.send(t, of("A03", "M1", "1111", visits[0], day(2, 9)).Bytes())
			h.settled(t)
			h.send(t, of("A03", "M2", "1111", visits[1], day(2, 10)).Bytes())
			h.settled(t)
			for _, message := range []string{"M2", "M1", "M2"} {
				if _, err := h.client.ReplayMessage(t.Context(), &dischargev1.ReplayMessageRequest{Key: &dischargev1.ReplayMessageRequest_ControlId{ControlId: message}}); err != nil {
					t.Fatal(err)
				}
				if n := h.count(t, `SELECT count(*) FROM exception WHERE kind = 'two-keys-for-one-stay' AND closed_at IS NULL`); n != 1 {
					t.Errorf("%d exceptions after %s was read again", n, message)
				}
			}
		})
	}
}

func TestMergeWithItselfIsRefusedInWords(t *testing.T) {
	h := startHub(t)
	if got := h.send(t, merged("G1", "1111", "1111", day(3, 9)).Bytes())[0]; got != "AA G1" {
		t.Errorf("answered %s", got)
	}
	h.settled(t)
	list, err := h.client.ListExceptions(t.Context(), &dischargev1.ListExceptionsRequest{})
	if err != nil || len(list.GetExceptions()) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	if e := list.GetExceptions()[0]; e.GetKind() != discharge.MergeWithItself || !strings.Contains(e.GetDetail(), "MRG-1") || !strings.Contains(e.GetDetail(), "Ask the sender") {
		t.Errorf("%v", e)
	}
}

// week is a hospital's traffic of some days in the order in which it was recorded: every trigger, and every way in which people and visits
// are confused and put right.
func week() []*hl7.Builder {
	var list []*hl7.Builder
	add := func(m *hl7.Builder) *hl7.Builder { list = append(list, m); return m }
	n := 0
	id := func() string { n++; return fmt.Sprintf("W%03d", n) }
	spell := func(trigger, number, visit string, d, hour int) *hl7.Builder {
		return add(of(trigger, id(), number, visit, day(d, hour)))
	}
	person := func(trigger, number string, d, hour int) *hl7.Builder {
		return add(ofPerson(trigger, id(), number, day(d, hour)))
	}

	// A stay with moves, a plan that changes, a leave, and a change of address a day after.
	person("A28", "1001", 1, 1).SetRaw("PID-5", "TESTER^Ada").Set("PID-7", "19410312")
	spell("A05", "1001", "W1", 1, 2).Set("PV1-2", "P")
	spell("A01", "1001", "W1", 1, 9)
	spell("A02", "1001", "W1", 1, 12).SetRaw("PV1-3", "OAK^^^RAJ12")
	spell("A12", "1001", "W1", 1, 13).SetRaw("PV1-3", "OAK^^^RAJ12")
	spell("A16", "1001", "W1", 2, 9).Set("PV2-9", "20260904")
	spell("A25", "1001", "W1", 2, 10)
	spell("A15", "1001", "W1", 2, 11)
	spell("A26", "1001", "W1", 2, 12)
	spell("A21", "1001", "W1", 2, 13)
	spell("A22", "1001", "W1", 3, 9)
	spell("A03", "1001", "W1", 4, 14)
	person("A31", "1001", 5, 9).SetRaw("PID-11", "2 EXAMPLE ROAD^^TILBURY^^RM18 7AA^GBR")
	// A&E, a ward, home, a discharge that was too early.
	spell("A04", "1002", "W2", 1, 3).Set("PV1-2", "E")
	spell("A06", "1002", "W2", 1, 8)
	spell("A03", "1002", "W2", 2, 14)
	spell("A13", "1002", "W2", 2, 16)
	spell("A08", "1002", "W2", 2, 17).Set("PV2-9", "20260905")
	spell("A03", "1002", "W2", 5, 11)
	person("A31", "1002", 6, 9).Set("PID-30", "Y")
	// One person under two numbers, in one visit and in two.
	spell("A01", "1003", "W3", 1, 10)
	spell("A03", "1004", "W3", 3, 15)
	spell("A03", "1004", "W4", 3, 16).Set("PV1-44", "20260825091500")
	add(merged(id(), "1004", "1003", day(4, 9)))
	// A chain, turned round, and a circle; the practice is told under one of the numbers only.
	spell("A03", "1005", "W5", 2, 9).Set("PD1-3.3", "")
	spell("A03", "1006", "W6", 2, 10).Set("PV1-44", "20260826091500")
	spell("A03", "1007", "W7", 2, 11).Set("PV1-44", "20260827091500")
	add(merged(id(), "1006", "1005", day(3, 9)))
	add(merged(id(), "1007", "1006", day(3, 10)))
	add(merged(id(), "1005", "1007", day(3, 11)))
	person("A31", "1006", 3, 12).Set("PD1-3.3", "F81010").SetRaw("PID-5", "TESTER^Joan")
	// A visit that was somebody else's.
	spell("A01", "1008", "W8", 1, 11).SetRaw("PID-5", "TESTER^Mary").Set("PID-30", "Y")
	add(of("A45", id(), "1009", "W8", day(2, 9)).SetRaw("PID-5", "TESTER^Grace").SetRaw("MRG-1", "1008^^^RAJ^PI").Set("MRG-5", "W8").Set("PD1-3.3", "F81010"))
	spell("A03", "1009", "W8", 4, 10)
	person("A31", "1008", 4, 11).Set("PD1-3.3", "F81113")
	// Two beds.
	spell("A01", "1010", "W10", 1, 12).SetRaw("PV1-3", "OAK")
	spell("A01", "1011", "W11", 1, 12).SetRaw("PV1-3", "ASH")
	swap := adt("A17", id(), "W10", day(2, 12)).SetRaw("PID-3", "1010^^^RAJ^PI").SetRaw("PID-5", "").Set("PID-7", "").SetRaw("PV1-3", "ASH")
	add(swap)
	spell("A03", "1010", "W10", 3, 12).SetRaw("PV1-3", "")
	// A visit that never was, one to a clinic, a stay that faded into one, and a deletion.
	spell("A05", "1012", "W12", 1, 4)
	spell("A38", "1012", "W12", 2, 4)
	spell("A04", "1013", "W13", 1, 5).Set("PV1-2", "O")
	spell("A01", "1014", "W14", 1, 13)
	spell("A07", "1014", "W14", 3, 13).Set("PV1-2", "O")
	spell("A01", "1015", "W15", 1, 14)
	person("A29", "1015", 4, 14)
	// A number that was changed.
	spell("A01", "1016", "W16", 1, 15)
	add(merged(id(), "1017", "1016", day(2, 15)).SetRaw("MSH-9", "ADT^A47").Set("EVN-1", "A47"))
	spell("A03", "1017", "W16", 3, 15)
	return list
}

func TestAWeekOfTrafficInAnyOrderHasTheSameOutcomes(t *testing.T) {
	var messages [][]byte
	for _, m := range week() {
		messages = append(messages, m.Bytes())
	}
	h := startHub(t)
	h.send(t, messages...)
	want := h.outcomes(t)
	for visit, c := range map[string]struct{ holds []string }{
		"W1":  {[]string{"DISCHARGED", `"RM17 5"`, `home_postcode_sector_later: "RM18 7"`, `"Ward":"ELM"`, `"FamilyName":"TESTER"`}},
		"W2":  {[]string{"DISCHARGED", "number: 2", "DEATH_DIED"}},
		"W3":  {[]string{"DISCHARGED", `"PatientNumber":"1004"`}},
		"W5":  {[]string{`practice_code: "F81010"`, `"PatientNumber":"1005"`, `"GivenName":"Joan"`}},
		"W6":  {[]string{`practice_code: "F81155"`, `practice_code_later: "F81010"`, `"PatientNumber":"1005"`}},
		"W8":  {[]string{"DISCHARGED", "DEATH_NONE", `"GivenName":"Grace"`, `practice_code: "F81155"`}},
		"W10": {[]string{"DISCHARGED", `"Ward":"ASH"`}},
		"W12": {[]string{"VOIDED"}},
		"W13": {[]string{"NOT_ADMITTED"}},
		"W14": {[]string{"IN_HOSPITAL", discharge.BecameOutpatient}},
		"W15": {[]string{"IN_HOSPITAL", discharge.PersonDeleted}},
		"W16": {[]string{"DISCHARGED", `"PatientNumber":"1017"`}},
	} {
		for _, text := range c.holds {
			if got := strings.ReplaceAll(want[spellOfVisit(visit)], ":  ", ": "); !strings.Contains(got, text) {
				t.Errorf("%s: no %s in %s", visit, text, got)
			}
		}
	}
	all := ""
	for _, text := range want {
		all += text
	}
	if n := strings.Count(all, discharge.TwoKeysOneStay); n != 1 {
		t.Errorf("%d exceptions of two keys for one stay, want that of W3 and W4", n)
	}
	if strings.Contains(all, discharge.VisitNumberReused) {
		t.Error("a visit number seems to be reused, though the numbers were merged")
	}
	for seed := range uint64(3) {
		h := startOne(t)
		random := rand.New(rand.NewPCG(seed, 7))
		turned := slices.Clone(messages)
		for range 10 {
			turned = append(turned, messages[random.IntN(len(messages))])
		}
		random.Shuffle(len(turned), func(i, j int) { turned[i], turned[j] = turned[j], turned[i] })
		for len(turned) > 0 { // some together, some apart
			n := min(len(turned), 1+random.IntN(12))
			h.send(t, turned[:n]...)
			turned = turned[n:]
			if random.IntN(3) == 0 {
				h.settled(t)
			}
		}
		if diff := cmp.Diff(want, h.outcomes(t)); diff != "" {
			t.Errorf("order %d has other outcomes: %s", seed, diff)
		}
	}
}

// A message may show of two spells at once that they are about a stay which another one has: each is an exception.
func TestOneMessageTellsOfEverySpellThatIsAStayOfAnother(t *testing.T) {
	t.Parallel()
	visits := []string{"V1", "V2", "V3"}
	slices.SortFunc(visits, func(a, b string) int { return strings.Compare(spellOfVisit(a), spellOfVisit(b)) })
	h := newStepped(t,
		of("A01", "M1", "1007", visits[2], day(1, 9)),
		of("A01", "M2", "1007", visits[1], day(1, 9)),
		of("A01", "M3", "1008", visits[0], day(1, 9)),
		merged("M4", "1007", "1008", day(2, 9)))
	if _, err := h.in.TellSpells(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := h.open(discharge.TwoKeysOneStay); n != 2 {
		t.Errorf("%d spells are told to be of a stay of the first, two are", n)
	}
}
