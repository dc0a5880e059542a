package dischargehub

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/kit/audit"
	"github.com/homeward-care/homeward/services/kit/run"
)

func (h *stepped) entry() audit.Entry {
	return audit.Entry{At: h.now(), Actor: "test:somebody", Action: "message.replay"}
}

// spellOf returns the published spell of the newest message with that MSH-10, and how that message's newest exception was closed.
func (h *stepped) spellOf(controlID string) (*dischargev1.Spell, string) {
	h.t.Helper()
	var data []byte
	var how string
	err := h.db.Pool.QueryRow(h.t.Context(), `
		SELECT coalesce(o.data, ''), coalesce((SELECT closed_how FROM exception e WHERE e.inbound_id = i.id ORDER BY e.id DESC LIMIT 1), '')
		FROM inbound i LEFT JOIN fact f ON f.inbound_id = i.id LEFT JOIN outbox o ON o.id = f.spell_id
		WHERE position(convert_to('|' || $1 || '|', 'UTF8') IN i.body) > 0 ORDER BY i.id DESC LIMIT 1`, controlID).Scan(&data, &how)
	if err != nil {
		h.t.Fatal(err)
	}
	s := &dischargev1.Spell{}
	if err := proto.Unmarshal(data, s); err != nil {
		h.t.Fatal(err)
	}
	return s, how
}

// correct stores the corrected copy of message id, as the RPC does, and lets it be interpreted or not yet.
func (h *stepped) correct(id int64, copy *hl7.Builder, interpret bool) {
	h.t.Helper()
	if err := h.db.InTx(h.t.Context(), "correct", func(tx pgx.Tx) error {
		m, err := messageOf(h.t.Context(), tx, id, true)
		if err != nil {
			return err
		}
		_, _, err = storeCorrection(h.t.Context(), tx, h.now(), exceptionRow{ID: 1}, m, "C", "", copy.Bytes())
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
	if interpret {
		h.step()
	}
}

func (h *stepped) step() {
	h.t.Helper()
	for _, step := range []run.Step{h.in.Step, h.in.TellSpells} {
		if _, err := step(h.t.Context()); err != nil {
			h.t.Fatal(err)
		}
	}
}

// all is every published spell but for the numbers of its versions.
func (h *stepped) all() string {
	h.t.Helper()
	var text string
	if err := h.db.Pool.QueryRow(h.t.Context(), `SELECT coalesce(string_agg(id || ' ' || encode(data, 'hex'), E'\n' ORDER BY id), '') FROM outbox`).Scan(&text); err != nil {
		h.t.Fatal(err)
	}
	return text
}

// Whatever order messages come in, and whenever between them somebody corrects one, into its own spell or another, the spells end alike: the
// fold is of what holds, not of what came when.
func TestCorrectionsEndAlikeInAnyOrder(t *testing.T) {
	t.Parallel()
	var want string
	for seed := range uint64(6) {
		h := newStepped(t)
		random := rand.New(rand.NewPCG(seed, 1))
		stay := []*hl7.Builder{
			adt("A01", "M1", "V1", day(1, 9)), adt("A03", "M2", "V1", day(2, 14)),
			adt("A08", "M3", "V1", day(2, 15)).Set("PD1-3.3", "F81010"),
			adt("A03", "M4", "V-WRONG", day(2, 16)), adt("A01", "M5", "V3", day(1, 9)),
			ofPerson("A31", "M6", "1234567", day(3, 9)).Set("PID-30", "Y"), // it was somebody else who died
		}
		copies := map[int]*hl7.Builder{1: adt("A03", "M2", "V1", day(2, 13)).Set("PV1-37", "29"), 3: adt("A03", "M4", "V3", day(2, 16)),
			5: ofPerson("A31", "M6", "7654321", day(3, 9)).Set("PID-30", "Y")}
		for _, i := range random.Perm(len(stay)) {
			h.send(stay[i])
			if copy := copies[i]; copy != nil && random.IntN(2) == 0 {
				h.correct(h.newest(), copy, random.IntN(2) == 0)
				delete(copies, i)
			}
		}
		for i, copy := range copies {
			var id int64
			if err := h.db.Pool.QueryRow(t.Context(), `SELECT id FROM inbound WHERE body = $1`, stay[i].Bytes()).Scan(&id); err != nil {
				t.Fatal(err)
			}
			h.correct(id, copy, true)
		}
		h.step()
		got := h.all()
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("seed %d ends with\n%s\nthe first one with\n%s", seed, got, want)
		}
		if s, _ := h.spellOf("M2"); s.GetDischarge().GetDestination() != "29" || s.GetDischarge().GetNumber() != 1 || s.GetPracticeCode() != "F81010" {
			t.Errorf("seed %d: the corrected spell is %v", seed, s)
		} else if s.GetDeath() != dischargev1.Death_DEATH_NONE {
			t.Errorf("seed %d: the person of the corrected spell is dead: %v", seed, s)
		}
	}
}

func TestAMessageThatIsReadAgainAsOneAboutAnotherPersonIsAboutTheFirstNoMore(t *testing.T) {
	t.Parallel()
	h := newStepped(t, adt("A03", "M1", "V1", day(2, 14)), ofPerson("A31", "M2", "", day(3, 9)).SetRaw("PID-3", "1234567^^^RAJ^PI~7654321^^^OLD^PI").Set("PID-30", "Y"))
	h.step()
	if s, _ := h.spellOf("M1"); s.GetDeath() != dischargev1.Death_DEATH_DIED {
		t.Fatalf("before: %v", s)
	}
	for i := range h.feeds {
		h.feeds[i].Mapping.PatientAuthority = "OLD"
	}
	h.start()
	if _, err := h.in.replay(t.Context(), h.newest(), false, h.entry()); err != nil {
		t.Fatal(err)
	}
	h.step()
	if s, _ := h.spellOf("M1"); s.GetDeath() != dischargev1.Death_DEATH_NONE {
		t.Errorf("after: %v", s)
	}
}

func (h *stepped) newest() (id int64) {
	h.t.Helper()
	if err := h.db.Pool.QueryRow(h.t.Context(), `SELECT max(id) FROM inbound`).Scan(&id); err != nil {
		h.t.Fatal(err)
	}
	return id
}

// A correction that the restored database does not know is gone like any message: what others hold stands, and once the hospital has sent
// the faulty message again somebody is asked again.
func TestARestoreBeforeTheCorrectionKeepsWhatOthersHold(t *testing.T) {
	t.Parallel()
	bad := adt("A03", "M2", "V1", day(2, 14)).Set("PV1-45", "20261202140000")
	whole := newStepped(t, adt("A01", "M1", "V1", day(1, 9)), bad)
	whole.correct(whole.newest(), adt("A03", "M2", "V1", day(2, 14)).Set("PV1-45", "20260902120000"), true)
	want, _ := whole.published()
	if want.GetDischarge().GetAt().AsTime() != day(2, 11) { // 12:00 in London
		t.Fatalf("corrected: %v", want)
	}
	h := newStepped(t, adt("A01", "M1", "V1", day(1, 9)))
	h.restored(whole.consumer(true))
	h.expect("after the take-over", want, 2)
	h.send(bad)
	h.expect("after the faulty message came again", want, 2)
	var n int
	if err := h.db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM exception WHERE kind = 'discharge-in-the-future' AND closed_at IS NULL`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d exceptions ask somebody again: %v", n, err)
	}
	h.correct(h.newest(), adt("A03", "M2", "V1", day(2, 14)).Set("PV1-45", "20260902120000"), true)
	if missing := h.replayed(); len(missing) != 0 {
		t.Errorf("missing: %v", missing)
	}
	h.expect("after it was corrected again", want, 2)
}

// The same where the message was put into a spell that it is not about: once it is corrected again, the wrong spell is free and voided.
func TestARestoreBeforeACorrectionIntoAnotherSpellEndsVoided(t *testing.T) {
	t.Parallel()
	bad, good := adt("A03", "M2", "V-WRONG", day(2, 14)), adt("A03", "M2", "V1", day(2, 14))
	whole := newStepped(t, bad)
	whole.correct(whole.newest(), good, true)
	h := newStepped(t, bad)
	h.restored(whole.consumer(true))
	h.correct(h.newest(), good, true)
	if missing := h.replayed(); len(missing) != 0 {
		t.Errorf("missing: %v", missing)
	}
	if got, want := h.all(), whole.all(); got != want {
		t.Errorf("published\n%s\nwant\n%s", got, want)
	}
}

func TestExceptionsRaiseEachAlarmOnce(t *testing.T) {
	t.Parallel()
	h := newStepped(t, faulty(), adt("A03", "T1", "V7", day(2, 15)).Set("MSH-11", "T"))
	now := restoredAt // Thursday 10 September 2026, 10:00 in London
	a := &exceptionAlarm{store: h.store, log: slog.New(slog.NewTextHandler(&h.log, nil))}
	at := func(after time.Duration) string {
		h.log.Reset()
		now = restoredAt.Add(after)
		for range 2 {
			if _, err := a.Step(t.Context(), now); err != nil {
				t.Fatal(err)
			}
		}
		var kinds []string
		for line := range strings.Lines(h.log.String()) {
			_, kind, _ := strings.Cut(line, "kind=")
			kind, _, _ = strings.Cut(kind, " count")
			kinds = append(kinds, kind)
		}
		return strings.Join(kinds, ", ")
	}
	for _, c := range []struct {
		after time.Duration
		want  string
	}{
		{time.Minute, ""},
		{4 * time.Hour, "no-spell-key alarm=1"},
		{5 * time.Hour, ""},
		{24 * time.Hour, "test-message-on-live-feed alarm=1"},
		{48 * time.Hour, ""}, // a Saturday
		{96 * time.Hour, "%"},
		{97 * time.Hour, ""},
		{100 * 24 * time.Hour, "%"},
		{200 * 24 * time.Hour, ""},
	} {
		got := at(c.after)
		if c.want == "%" && strings.Count(got, "alarm=") != 2 || c.want != "%" && got != c.want {
			t.Errorf("after %s: alarms %q, want %q", c.after, got, c.want)
		}
	}
	list, err := h.store.exceptions(t.Context(), exceptionQuery{limit: 10, late: true})
	if err != nil || len(list) != 2 || fmt.Sprint(list[0].Alarms, list[1].Alarms) != "3 3" {
		t.Errorf("late: %v, %v", list, err)
	}
}
