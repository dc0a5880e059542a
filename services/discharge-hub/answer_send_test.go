package dischargehub

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/discharge-hub/migrations"
	"github.com/homeward-care/homeward/services/kit/kittest"
)

// TestAERestsOneSpellAndABusyReceiverAll steps an answerer by a clock that stands still, so that who is sent nothing is one who rests.
func TestAERestsOneSpellAndABusyReceiverAll(t *testing.T) {
	t.Parallel()
	w := newWard(t).start()
	db := kittest.Open(t, kittest.Database(t, migrations.FS))
	feed := discharge.Feed{Key: "open", Zone: discharge.London(), Answers: &discharge.Answers{Addr: w.addr, Application: "EPR", Facility: "RAJ"}}
	now := day(2, 14)
	a := &answerer{key: "open", feeds: func() map[string]discharge.Feed { return map[string]discharge.Feed{"open": feed} }, makes: Config{}.line(slog.New(slog.DiscardHandler)),
		store: &store{db: db, claims: living(t, db)}, now: func() time.Time { return now }, tracer: noop.NewTracerProvider().Tracer(""), log: slog.New(slog.DiscardHandler)}
	queue := func(about string, words ...discharge.Word) {
		t.Helper()
		var list []telling
		for _, word := range words {
			list = append(list, telling{spell: uuid.NewSHA1(uuid.Nil, []byte(about)), word: word, about: "1", at: now, team: about})
		}
		if err := db.InTx(t.Context(), "queue", func(tx pgx.Tx) error {
			return queueAnswers(t.Context(), tx, now, `SELECT u.* FROM u`, slices.Repeat([]string{"open"}, len(words)), list)
		}); err != nil {
			t.Fatal(err)
		}
	}
	last := func(m *hl7.Message) (text string) {
		for s := range m.Segments("OBX") {
			text = s.Field(5, 1).Text()
		}
		return text
	}
	// hears are the words that the ward hears until nothing is sent, in their order.
	hears := func(when, want string) {
		t.Helper()
		before := len(w.came)
		for worked := true; worked; {
			var err error
			if worked, err = a.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var words []string
		for _, m := range w.came[before:] {
			words = append(words, m.Get("OBX-5.1").Text()+" "+last(m))
		}
		if got := strings.Join(words, ", "); got != want {
			t.Errorf("%s: the ward hears %q, want %q", when, got, want)
		}
	}
	w.answers(func(m *hl7.Message) string {
		if strings.HasPrefix(last(m), "refused") {
			return "AE"
		}
		return "AA"
	})
	queue("refused 1", discharge.WordReceived, discharge.WordDelivered)
	hears("one is refused", "received refused 1")
	queue("taken 1", discharge.WordReceived, discharge.WordDelivered)
	hears("others are sent all the same", "received taken 1, delivered taken 1")
	for range 5 {
		now = now.Add(answerRest)
		hears("the refused one is tried again", "received refused 1")
	}
	queue("taken 2", discharge.WordReceived)
	hears("others are sent even when it was tried many times", "received taken 2")
	for _, about := range []string{"refused 2", "refused 3", "refused 4", "taken 3"} {
		queue(about, discharge.WordReceived)
	}
	hears("one after another is refused", "received refused 2, received refused 3, received refused 4")
	now = now.Add(time.Minute)
	hears("the rest is over", "received taken 3, received refused 2, received refused 3, received refused 4")
	w.stop()
	queue("taken 4", discharge.WordReceived)
	queue("taken 5", discharge.WordReceived)
	now = now.Add(time.Minute)
	hears("the receiver is away", "")
	if n := a.failures; n == 0 || !now.Before(a.rest) {
		t.Error("a receiver that is away does not rest")
	}
}
