package dischargehub

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "time/tzdata"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/discharge-hub/migrations"
	"github.com/homeward-care/homeward/services/discharge-hub/mllp"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/devinfra"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/pg"
)

func TestMain(m *testing.M) { kittest.Main(m) }

// hub is a hub under test with its real PostgreSQL and JetStream.
type hub struct {
	cfg    Config
	db     *pg.DB
	nats   *devinfra.NATS
	issuer *devinfra.Issuer
	client dischargev1.DischargeHubServiceClient
}

// startHub starts a hub; with changes its configuration.
func startHub(t *testing.T, with ...func(*Config)) *hub {
	t.Helper()
	t.Parallel()
	return startOne(t, with...)
}

// startOne starts another hub of the same test.
func startOne(t *testing.T, with ...func(*Config)) *hub {
	t.Helper()
	h := &hub{nats: kittest.NATS(t), issuer: kittest.Issuer(t)}
	url := kittest.Database(t, migrations.FS)
	h.db = kittest.Open(t, url)
	h.cfg = Config{
		Config: kittest.Config(t, "discharge-hub", url, h.nats, h.issuer), MLLPAddr: kittest.FreeAddr(t),
		PickupAddr: kittest.FreeAddr(t), AssessmentAddr: kittest.FreeAddr(t),
	}
	for _, change := range with {
		change(&h.cfg)
	}
	kittest.Start(t, func(ctx context.Context) error { return Run(ctx, h.cfg) })
	h.client = dischargev1.NewDischargeHubServiceClient(h.dial(t, authn.HubStaff))
	kittest.Eventually(t, "the hub answers", func() bool {
		_, err := h.client.ListExceptions(t.Context(), &dischargev1.ListExceptionsRequest{})
		return err == nil
	})
	return h
}

func (h *hub) dial(t *testing.T, roles ...authn.Role) *grpc.ClientConn {
	return kittest.Dial(t, h.cfg.GRPCAddr, h.issuer, authn.Principal{Subject: "test:somebody", Roles: roles})
}

// send sends the messages over one MLLP connection and returns MSA-1 and MSA-2 of each answer, as `AA MSG1`.
func (h *hub) send(t *testing.T, messages ...[]byte) []string {
	t.Helper()
	conn, err := net.Dial("tcp", h.cfg.MLLPAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := mllp.NewReader(conn, 0)
	var answers []string
	for _, m := range messages {
		ack := exchange(t, conn, in, m)
		answers = append(answers, ack.Get("MSA-1").Text()+" "+ack.Get("MSA-2").Text())
	}
	return answers
}

// exchange sends one message and returns what is answered.
func exchange(t *testing.T, conn net.Conn, in *mllp.Reader, message []byte) *hl7.Message {
	t.Helper()
	if _, err := conn.Write(mllp.Frame(message)); err != nil {
		t.Fatal(err)
	}
	raw, err := in.Next()
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	ack, err := hl7.Parse(raw)
	if err != nil {
		t.Fatalf("the answer is no HL7: %v", err)
	}
	return ack
}

// spell returns the published spell once all messages are interpreted.
func (h *hub) spell(t *testing.T, id string) *dischargev1.Spell {
	t.Helper()
	h.interpreted(t)
	var data []byte
	if err := h.db.Pool.QueryRow(t.Context(), `SELECT data FROM outbox WHERE id = $1`, id).Scan(&data); err != nil {
		t.Fatalf("spell %s: %v", id, err)
	}
	var s dischargev1.Spell
	if err := proto.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

func (h *hub) interpreted(t *testing.T) {
	t.Helper()
	kittest.Eventually(t, "all messages are interpreted", func() bool { return h.count(t, `SELECT count(*) FROM inbound_pending`) == 0 })
}

func (h *hub) count(t *testing.T, query string, args ...any) int {
	t.Helper()
	var n int
	if err := h.db.Pool.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// adt is an ADT message of one spell, with what most tests do not care about.
func adt(trigger, controlID, visit string, recorded time.Time) *hl7.Builder {
	at := recorded.Format("20060102150405")
	b := &hl7.Builder{}
	b.Set("MSH-3", "MSEPAS").Set("MSH-4", "RAJ").Set("MSH-5", "THURROCK-HUB").Set("MSH-6", "THURROCK").Set("MSH-7", at).
		SetRaw("MSH-9", "ADT^"+trigger).Set("MSH-10", controlID).Set("MSH-11", "P").Set("MSH-12", "2.4")
	b.Set("EVN-1", trigger).Set("EVN-2", at)
	b.SetRaw("PID-3", "9990000026^^^NHS^NH~1234567^^^RAJ^PI").SetRaw("PID-5", "TESTER^Ada").Set("PID-7", "19410312").
		SetRaw("PID-11", "1 EXAMPLE ROAD^^GRAYS^ESSEX^RM17 5AA^GBR").Set("PID-30", "N")
	b.Set("PD1-3.3", "F81155")
	b.Set("PV1-2", "I").SetRaw("PV1-3", "ELM^B2^04^RAJ12").Set("PV1-19", visit).Set("PV1-44", "20260825091500")
	if trigger == "A03" {
		b.Set("PV1-36", "1").Set("PV1-37", "19").Set("PV1-45", at)
	}
	return b
}

func day(d, hour int) time.Time { return time.Date(2026, 9, d, hour, 0, 0, 0, time.UTC) }

func TestMessageIsStoredAcknowledgedFoldedAndPublished(t *testing.T) {
	h := startHub(t)
	answers := h.send(t, adt("A01", "M1", "V1", day(1, 9)).Bytes(), adt("A03", "M2", "V1", day(2, 14)).Bytes())
	if got := strings.Join(answers, ","); got != "AA M1,AA M2" {
		t.Fatalf("answers %s", got)
	}
	resp := h.handover(t, "M2")
	s := h.spell(t, resp.GetSpellId())
	if s.GetStatus() != dischargev1.SpellStatus_SPELL_STATUS_DISCHARGED || s.GetDischarge().GetOn() != "2026-09-02" || s.GetPracticeCode() != "F81155" ||
		s.GetHomePostcodeSector() != "RM17 5" {
		t.Errorf("spell: %v", s)
	}
	if resp.GetDeliveredAt() != nil {
		t.Error("delivered, though nobody has confirmed it")
	}
	kittest.Eventually(t, "the event is sent", func() bool { return h.count(t, `SELECT count(*) FROM outbox_unsent`) == 0 })
}

func (h *hub) handover(t *testing.T, controlID string) (resp *dischargev1.GetHandoverResponse) {
	t.Helper()
	h.interpreted(t)
	resp, err := h.client.GetHandover(t.Context(), &dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_ControlId{ControlId: controlID}})
	if err != nil {
		t.Fatalf("handover of %s: %v", controlID, err)
	}
	return resp
}

func TestAcknowledgementMatrix(t *testing.T) {
	h := startHub(t)
	good := adt("A03", "OK", "V1", day(2, 14)).Bytes()
	for _, c := range []struct {
		name, want string
		raw        []byte
	}{
		{"a discharge", "AA OK", good},
		{"the same bytes again", "AA OK", good},
		{"a trigger that is not handled", "AA M24", adt("A24", "M24", "", day(2, 15)).Bytes()},
		{"not an ADT message", "AA ORU1", adt("A01", "ORU1", "V9", day(2, 15)).SetRaw("MSH-9", "ORU^R01").Bytes()},
		{"no visit and no patient number", "AA NOKEY", adt("A03", "NOKEY", "", day(2, 15)).SetRaw("PID-3", "").Bytes()},
		{"a test message on a live feed", "AA TEST", adt("A03", "TEST", "V7", day(2, 15)).Set("MSH-11", "T").Bytes()},
		{"an unknown sender", "AR WHO", adt("A03", "WHO", "V8", day(2, 15)).Set("MSH-4", "ZZZ").Bytes()},
		{"not HL7", "AR ", []byte("GET / HTTP/1.1\r\n\r\n")},
	} {
		if got := h.send(t, c.raw)[0]; got != c.want {
			t.Errorf("%s: answered %q, want %q", c.name, got, c.want)
		}
	}
	h.interpreted(t)
	if n := h.count(t, `SELECT count(*) FROM inbound`); n != 7 {
		t.Errorf("%d messages are kept, want 7: every one of them once", n)
	}
	if n := h.count(t, `SELECT count(*) FROM spell`); n != 1 {
		t.Errorf("%d spells, want the one that was discharged", n)
	}
	if n := h.count(t, `SELECT count(*) FROM not_handled`); n != 2 {
		t.Errorf("%d messages are named as not handled, want 2", n)
	}
	list, err := h.client.ListExceptions(t.Context(), &dischargev1.ListExceptionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, e := range list.GetExceptions() {
		kinds[e.GetControlId()] = e.GetKind() + " " + e.GetOwner()
	}
	if kinds["NOKEY"] != "no-spell-key hub" || kinds["TEST"] != "test-message-on-live-feed hub" || len(kinds) != 2 {
		t.Errorf("exceptions: %v", kinds)
	}
}

func TestDatabaseAwayIsAnsweredWithAEAndNothingIsLost(t *testing.T) {
	h := startHub(t)
	if _, err := h.db.Pool.Exec(t.Context(), `ALTER TABLE inbound RENAME TO inbound_away`); err != nil {
		t.Fatal(err)
	}
	m := adt("A03", "M1", "V1", day(2, 14)).Bytes()
	if got := h.send(t, m)[0]; got != "AE M1" {
		t.Fatalf("answered %q while nothing could be stored", got)
	}
	if _, err := h.db.Pool.Exec(t.Context(), `ALTER TABLE inbound_away RENAME TO inbound`); err != nil {
		t.Fatal(err)
	}
	if got := h.send(t, m)[0]; got != "AA M1" {
		t.Fatalf("answered %q", got)
	}
	h.handover(t, "M1")
}

func TestContentThatPostgreSQLRefusesHoldsUpNobody(t *testing.T) {
	h := startHub(t)
	bad := adt("A03", "NUL\x00", "V\x001", day(2, 14)).SetRaw("PID-5", "TES\x00TER^Ada").Bytes()
	h.send(t, bad, adt("A03", "GOOD", "V2", day(2, 14)).Bytes())
	if got := h.handover(t, "GOOD"); got.GetSpell().GetDischarge() == nil {
		t.Error("the good message was held up")
	}
	if h.count(t, `SELECT count(*) FROM fact`)+h.count(t, `SELECT count(*) FROM exception WHERE kind = 'unreadable-message'`) != 2 {
		t.Error("the bad message became neither a fact nor an exception")
	}
}

func TestAControlIDThatIsTooLongForAnIndexHoldsUpNobody(t *testing.T) {
	h := startHub(t)
	var id strings.Builder
	for id.Len() < 20_000 {
		id.WriteString(rand.Text()) // the database would make little of anything that repeats
	}
	if got := h.send(t, adt("A03", id.String(), "V1", day(2, 14)).Bytes())[0]; !strings.HasPrefix(got, "AA ") {
		t.Fatalf("answered %.40q", got)
	}
	h.handover(t, id.String())
}

func TestOfMessagesThatArriveTogetherOnlyTheRefusedAreNotStored(t *testing.T) {
	h := startHub(t)
	if _, err := h.db.Pool.Exec(t.Context(), `ALTER TABLE inbound ADD CHECK (control_id NOT LIKE 'REFUSED%')`); err != nil {
		t.Fatal(err)
	}
	tx, err := h.db.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), `LOCK TABLE inbound IN EXCLUSIVE MODE`); err != nil { // meanwhile they gather
		t.Fatal(err)
	}
	answers := make([]string, 24)
	var senders sync.WaitGroup
	for i := range answers {
		id := fmt.Sprintf("%s%d", []string{"GOOD", "GOOD", "REFUSED"}[i%3], i)
		senders.Go(func() { answers[i] = h.send(t, adt("A01", id, id, day(1, 9)).Bytes())[0] })
	}
	kittest.Eventually(t, "two batches wait", func() bool {
		return h.count(t, `SELECT count(*) FROM pg_locks WHERE relation = 'inbound'::regclass AND NOT granted`) == 2
	})
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	senders.Wait()
	for _, got := range answers {
		code, id, _ := strings.Cut(got, " ")
		stored := h.count(t, `SELECT count(*) FROM inbound WHERE control_id = $1`, id)
		if good := strings.HasPrefix(id, "GOOD"); good != (code == "AA") || good != (stored == 1) || !good && code != "AE" {
			t.Errorf("answered %q, stored %d times", got, stored)
		}
	}
}

func TestSameSpellByHL7AndGRPCIsOneSpell(t *testing.T) {
	h := startHub(t)
	h.send(t, adt("A01", "M1", "V1", day(1, 9)).Bytes())
	first := h.handover(t, "M1")
	resp, err := h.client.RecordEvent(t.Context(), &dischargev1.RecordEventRequest{
		Feed: "hub-staff", MessageId: "H1", Kind: dischargev1.EventKind_EVENT_KIND_UPDATE, RecordedAt: timestamp(day(1, 10)), VisitNumber: "V1",
		Involvements: []dischargev1.Involvement{dischargev1.Involvement_INVOLVEMENT_HUB_REFERRAL},
	})
	if err != nil {
		t.Fatal(err)
	}
	if resp.GetSpellId() != first.GetSpellId() || resp.GetReference() != first.GetReference() {
		t.Fatalf("two spells: %v and %v", resp, first)
	}
	if s := h.spell(t, resp.GetSpellId()); len(s.GetInvolvements()) != 1 || s.GetPracticeCode() != "F81155" {
		t.Errorf("the facts of both doors are not in the spell: %v", s)
	}
}

func TestRecordEventNamesTheFieldAtFault(t *testing.T) {
	h := startHub(t)
	good := func() *dischargev1.RecordEventRequest {
		return &dischargev1.RecordEventRequest{Feed: "hub-staff", MessageId: "H1", Kind: dischargev1.EventKind_EVENT_KIND_ADMIT, RecordedAt: timestamp(day(1, 10)), VisitNumber: "V1"}
	}
	for field, spoil := range map[string]func(*dischargev1.RecordEventRequest){
		"feed":               func(r *dischargev1.RecordEventRequest) { r.Feed = "mse-basildon" },
		"kind":               func(r *dischargev1.RecordEventRequest) { r.Kind = 0 },
		"message_id":         func(r *dischargev1.RecordEventRequest) { r.MessageId = "" },
		"recorded_at":        func(r *dischargev1.RecordEventRequest) { r.RecordedAt = nil },
		"visit_number":       func(r *dischargev1.RecordEventRequest) { r.VisitNumber = "" },
		"visit_number ":      func(r *dischargev1.RecordEventRequest) { r.VisitNumber = " " },
		"ward":               func(r *dischargev1.RecordEventRequest) { r.Ward = "E\x00M" },
		"family_name":        func(r *dischargev1.RecordEventRequest) { r.Person = &dischargev1.Person{FamilyName: "\x00"} },
		"criteria_to_reside": func(r *dischargev1.RecordEventRequest) { r.CriteriaToReside = 7 },
		"discharge_ready_at": func(r *dischargev1.RecordEventRequest) {
			r.CriteriaToReside, r.DischargeReadyAt = dischargev1.CriteriaToReside_CRITERIA_TO_RESIDE_MET, timestamp(day(1, 9))
		},
		"withdrawn_involvements": func(r *dischargev1.RecordEventRequest) {
			r.WithdrawnInvolvements = []dischargev1.Involvement{dischargev1.Involvement_INVOLVEMENT_PATHWAY}
		},
		"discharged_at": func(r *dischargev1.RecordEventRequest) {
			r.Kind, r.DischargedAt = dischargev1.EventKind_EVENT_KIND_UPDATE, timestamp(day(1, 10).AddDate(-126, 0, 0))
		},
		"discharged_at ": func(r *dischargev1.RecordEventRequest) {
			r.Kind, r.DischargedAt = dischargev1.EventKind_EVENT_KIND_DISCHARGE, timestamp(day(1, 9).AddDate(-10, 0, 0))
			r.Person = &dischargev1.Person{BirthDate: "2017-03-12"}
		},
		"effective_at": func(r *dischargev1.RecordEventRequest) {
			r.Kind, r.EffectiveAt = dischargev1.EventKind_EVENT_KIND_DISCHARGE, timestamp(day(1, 10).AddDate(-126, 0, 0))
		},
		"admitted_at": func(r *dischargev1.RecordEventRequest) { r.AdmittedAt = timestamp(day(1, 10).AddDate(7000, 0, 0)) },
	} {
		req := good()
		spoil(req)
		_, err := h.client.RecordEvent(t.Context(), req)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), strings.TrimSpace(field)+":") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestOnlyThoseInTheTableMayCall(t *testing.T) {
	h := startHub(t)
	provider := dischargev1.NewDischargeHubServiceClient(h.dial(t, authn.Provider))
	if _, err := provider.GetPeople(t.Context(), &dischargev1.GetPeopleRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a provider asked for people: %v", err)
	}
	nobody := dischargev1.NewDischargeHubServiceClient(h.dial(t))
	if _, err := nobody.GetHandover(t.Context(), &dischargev1.GetHandoverRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("somebody without a role: %v", err)
	}
}

func TestReadingNamesIsAudited(t *testing.T) {
	h := startHub(t)
	h.send(t, adt("A03", "M1", "V1", day(2, 14)).Bytes())
	spell := h.handover(t, "M1").GetSpellId()
	resp, err := h.client.GetPeople(t.Context(), &dischargev1.GetPeopleRequest{SpellIds: []string{spell, uuid.NewString()}})
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.GetPeople()) != 1 || resp.GetPeople()[spell].GetFamilyName() != "TESTER" {
		t.Errorf("people: %v", resp)
	}
	if n := h.count(t, `SELECT count(*) FROM audit WHERE action = 'person.read' AND record = $1 AND actor = 'test:somebody'`, spell); n != 1 {
		t.Errorf("%d audit rows for the reading", n)
	}
}

func TestHopsOfAHandoverAreToldWithTheNextRetry(t *testing.T) {
	h := startHub(t)
	h.send(t, adt("A03", "M1", "V1", day(2, 14)).Bytes())
	spell := h.handover(t, "M1").GetSpellId()
	if _, err := h.db.Pool.Exec(t.Context(), `INSERT INTO undelivered VALUES ($1, now())`, spell); err != nil {
		t.Fatal(err)
	}
	ops := opsv1.NewExplainServiceClient(h.dial(t, authn.Ops))
	resp, err := ops.ExplainHandover(t.Context(), &opsv1.ExplainHandoverRequest{SpellId: spell})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, hop := range resp.GetHops() {
		names = append(names, hop.GetName())
		if hop.GetName() == "undelivered" && hop.GetNextRetry() == nil {
			t.Error("nobody is told when it is sent again")
		}
		if strings.Contains(hop.GetState(), "TESTER") {
			t.Errorf("a name is in the hop %q", hop.GetState())
		}
	}
	for _, want := range []string{"message stored", "undelivered"} {
		if !slices.Contains(names, want) {
			t.Errorf("no hop %q among %q", want, names)
		}
	}
}
