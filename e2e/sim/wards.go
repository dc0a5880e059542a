package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/homeward-care/homeward/e2e/hospital"
	"github.com/homeward-care/homeward/e2e/oracle"
	"github.com/homeward-care/homeward/services/discharge-hub"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
)

// answered are the feeds whose wards are told how far their handovers are.
var answered = []string{"mse-basildon", "mse-all"}

// wards are the hospitals' receivers of answers: what they were told, and what they accepted of it.
type wards struct {
	w        *world
	told     bool // in this seed
	calls    int
	accepted map[string][]hospital.Answer // by feed: each once, in the order in which they were first accepted
	known    map[string]bool              // control ids of those
	fresh    []hospital.Answer            // that nobody has looked into yet
}

// withWards lets the feeds' files say where the answers go.
func withWards(feeds []discharge.Feed) []discharge.Feed {
	feeds = slices.Clone(feeds)
	for i := range feeds {
		if slices.Contains(answered, feeds[i].Key) {
			feeds[i].Answers = &discharge.Answers{Addr: "ward of " + feeds[i].Key, Application: "PAS", Facility: "RAJ"}
		}
	}
	return feeds
}

// line is a process's connection to a feed's receiver.
type line struct {
	*wards
	feed string
	proc *process
}

func (p *process) line(f discharge.Feed) (dischargehub.Line, error) {
	return line{p.node.world.wards, f.Key, p}, nil
}

// Exchange sends at the moment that the scheduler chooses: there may be nobody, the message may come twice, and its answer may be lost.
func (l line) Exchange(ctx context.Context, message []byte) (answer []byte, err error) {
	v := l.w.sched.reach(frameOf(ctx), point{calling, "answer to the ward"})
	if v.err != nil {
		return nil, errAway
	}
	for range max(v.times, 1) {
		answer = l.take(l.feed, message)
	}
	if v.lose || l.proc.dead.Load() {
		return nil, errAway
	}
	return answer, nil
}

func (l line) HangUp() {}

// take is the receiver: now and then it has no room for an answer, or somebody has to mend something first.
func (s *wards) take(feed string, message []byte) []byte {
	w := s.w
	s.calls++
	w.acts(wardsAsk)
	a := hospital.ReadAnswer(string(message))
	if a.Word == "" {
		w.fail("the ward of %s is sent what is no answer: %q", feed, message)
	}
	if w.faults.refuses(wardBusy) {
		return []byte(a.Acknowledge("AE", a.ControlID))
	}
	if w.faults.refuses(wardRejects) {
		return []byte(a.Acknowledge("AR", a.ControlID))
	}
	if !s.known[a.ControlID] {
		s.known[a.ControlID] = true
		s.accepted[feed] = append(s.accepted[feed], a)
		s.fresh = append(s.fresh, a)
	}
	return []byte(a.Acknowledge("AA", a.ControlID))
}

// look finds out, before anything else goes on, whether what was told just now has happened.
func (s *wards) look() {
	for _, a := range s.fresh {
		s.isTrue(a)
	}
	s.fresh = nil
}

func (s *wards) isTrue(a hospital.Answer) {
	w := s.w
	n := 1
	var err error
	switch {
	case a.Word == "received":
		err = w.db.admin.QueryRow(w.ctx, `SELECT count(*) FROM discharge_hub.fact f JOIN discharge_hub.spell s ON s.id = f.spell_id WHERE s.reference = $1`, a.Reference).Scan(&n)
	case a.Word == "delivered" && w.restore.service != "community-pickup": // what that did may be forgotten
		err = w.db.admin.QueryRow(w.ctx, `SELECT count(*) FROM community_pickup.task WHERE reference = $1`, a.Reference).Scan(&n)
	}
	if err != nil || n == 0 {
		w.fail("the ward is told that %s is %s, and it is not: %v", a.Reference, a.Word, err)
	}
}

// toldOut lets the hours go by in which everything is told that is still to be told.
func (w *world) toldOut() {
	for n := range 20 {
		if w.untold() == 0 {
			break
		}
		w.faults.refusing = w.faults.refusing && n < 6
		w.pass(10 * time.Minute)
		w.round()
	}
	w.faults.refusing = false
	if n := w.untold(); n > 0 {
		w.fail("after hours in which nothing went wrong %d answers to wards and Tasks are not accepted", n)
	}
}

// checkTold compares what wards and the engine accepted with what must have become of the spells; from then on nobody is told anything.
func (w *world) checkTold(expected []oracle.Expected, care map[string]oracle.Care) {
	calls := w.wards.calls + w.engine.calls
	w.pass(2 * time.Hour)
	w.round()
	if n := w.wards.calls + w.engine.calls - calls; n > 0 {
		w.fail("%d times somebody is told what was accepted", n)
	}
	touched := func(spell string) bool {
		return len(w.staff.acted[spell]) > 0 || care[spell] != (oracle.Care{}) || w.restore.spoilt[spell]
	}
	if w.wards.told {
		w.wards.check(expected, touched)
	}
	if w.settings.clients != "" {
		w.engine.check(expected, touched)
		w.checkTasks()
	}
}

func (w *world) untold() (n int) {
	if err := w.db.admin.QueryRow(w.ctx, `SELECT (SELECT count(*) FROM discharge_hub.answer WHERE accepted_at IS NULL)
		+ (SELECT count(*) FROM discharge_hub.webhook_due)`).Scan(&n); err != nil {
		w.fail("what is still to be told: %v", err)
	}
	return n
}

// check compares what the wards accepted with what the hub has noted, and with what must have become of the spells.
func (s *wards) check(expected []oracle.Expected, touched func(spell string) bool) {
	w := s.w
	if w.restore.service == "discharge-hub" {
		return // what it told after the backup it may tell again in other words
	}
	noted := s.noted()
	for _, feed := range answered {
		newest := map[string]int64{}
		for _, a := range s.accepted[feed] {
			n, is := noted[a.ControlID]
			if !is {
				w.fail("the ward of %s was told %s of %s, and nobody has noted it", feed, a.Word, a.Reference)
			}
			if n.id < newest[a.Reference] {
				w.fail("the ward of %s was told %s of %s after what came later", feed, a.Word, a.Reference)
			}
			newest[a.Reference] = n.id
		}
	}
	for id, n := range noted {
		if !s.known[id] {
			w.fail("%s is noted as accepted, and the ward has not accepted it", n.what)
		}
	}
	for _, want := range expected {
		s.checkSpell(want, touched(want.SpellID))
	}
}

// notedAnswer is an answer that the hub holds as accepted. Those of a spell have rising ids.
type notedAnswer struct {
	id   int64
	what string
}

// noted are the answers that the hub holds as accepted, by their control id.
func (s *wards) noted() map[string]notedAnswer {
	w := s.w
	rows, err := w.db.admin.Query(w.ctx, `SELECT id, feed, spell_id, word, about FROM discharge_hub.answer WHERE accepted_at IS NOT NULL`)
	if err != nil {
		w.fail("answers to wards: %v", err)
		return nil
	}
	all := map[string]notedAnswer{}
	var id int64
	var a discharge.Answer
	var spell uuid.UUID
	if _, err := pgx.ForEachRow(rows, []any{&id, &a.Feed, &spell, &a.Word, &a.About}, func() error {
		a.SpellID = spell.String()
		all[a.ControlID()] = notedAnswer{id, fmt.Sprintf("%s of %s %s to %s", a.Word, spell, a.About, a.Feed)}
		return nil
	}); err != nil {
		w.fail("answers to wards: %v", err)
	}
	return all
}

// checkSpell: the ward hears of each stay of which its feed alone tells, the words in their order, and of the newest version last.
func (s *wards) checkSpell(want oracle.Expected, touched bool) {
	w := s.w
	feeds := map[string]bool{}
	for _, m := range w.told {
		if slices.Contains(m.SpellIDs(), want.SpellID) {
			feeds[m.Feed] = true
		}
	}
	for _, feed := range answered {
		var received, delivered int
		var last hospital.Answer
		for _, a := range s.accepted[feed] {
			if a.Reference != discharge.Reference(want.SpellID) {
				continue
			}
			switch a.Word {
			case "received":
				received++
			case "delivered":
				delivered++
				last = a
			case "taken":
				took := func(a oracle.Acted) bool { return a.Command == "take" }
				if !slices.ContainsFunc(w.staff.acted[want.SpellID], took) && !w.restore.spoilt[want.SpellID] {
					w.fail("spell %s: the ward of %s is told that somebody has it, and nobody took it", want.SpellID, feed)
				}
			}
			if delivered > 0 && received == 0 {
				w.fail("spell %s: the ward of %s is told of a delivery before the receipt", want.SpellID, feed)
			}
		}
		if len(feeds) != 1 || !feeds[feed] {
			continue
		}
		if received == 0 || delivered == 0 {
			w.fail("spell %s: the ward of %s was told %d times that it is received, and %d times that it is delivered", want.SpellID, feed, received, delivered)
		}
		pickUp := map[string]string{"pick-up-due": "due"}[want.Outcome]
		if pickUp == "" {
			pickUp = want.Outcome
		}
		if !touched && (last.Outcome != pickUp || last.Team != want.Team) {
			w.fail("spell %s: the ward of %s was told last %q for %q, must be %q for %q", want.SpellID, feed, last.Outcome, last.Team, pickUp, want.Team)
		}
	}
	var open int
	if err := w.db.admin.QueryRow(w.ctx, `
		SELECT count(*) FROM discharge_hub.outbox o JOIN discharge_hub.answer r ON r.spell_id = o.id AND r.word = 'received'
		WHERE o.id = $1 AND NOT EXISTS (SELECT FROM discharge_hub.answer d WHERE d.spell_id = o.id AND d.feed = r.feed AND d.word = 'delivered'
			AND d.about = o.epoch || '.' || o.version)`, want.SpellID).Scan(&open); err != nil || open > 0 {
		w.fail("spell %s: a ward is not told that the newest version is delivered: %v", want.SpellID, err)
	}
}
