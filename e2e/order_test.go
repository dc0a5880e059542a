package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/homeward-care/homeward/e2e/hospital"
)

// TestAnyOrderAndDuplicationGivesTheSameOutcomes tells the journeys in which nobody but the hospital acts again, about other spells, with
// their messages shuffled and some of them twice: what becomes of each spell is what the transcript says at its end.
func TestAnyOrderAndDuplicationGivesTheSameOutcomes(t *testing.T) {
	for round := range 4 {
		t.Run(fmt.Sprintf("shuffle %d", round), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(uint64(round), 42))
			var all []sent
			want := map[string][]string{}
			for _, tr := range readTranscripts(t) {
				messages, endings := tr.retold(t, fmt.Sprintf("X%d", round))
				all = append(all, messages...)
				for id, text := range endings {
					want[id] = text
				}
			}
			if len(want) < 40 {
				t.Fatalf("only %d spells", len(want))
			}
			for range len(all) / 3 {
				all = append(all, all[random.IntN(len(all))])
			}
			random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			shared.sendAll(t, all)
			for id, text := range want {
				got, err := shared.outcome(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(text, got); diff != "" {
					t.Errorf("message %s\nin order -, shuffled +:\n%s", id, diff)
				}
			}
		})
	}
}

// retold returns the messages of a transcript about spells of the variation, and what is to become of the spell of a control id in the
// end. Journeys in which somebody works with the task, or asks for something at a certain moment, are told in one order only.
func (tr transcript) retold(t *testing.T, variation string) (messages []sent, endings map[string][]string) {
	t.Helper()
	s := newScript(variation)
	endings = map[string][]string{}
	visits := map[string]string{} // the last control id of each visit
	visit := ""
	for _, l := range tr.lines {
		if len(l.words) == 0 {
			continue
		}
		switch args := l.words[1:]; l.words[0] {
		case "take", "contact", "accept", "refuse", "request-assessment", "request-reablement":
			return nil, nil
		case "send":
			m := s.message(t, args)
			if l.answer[0] != "AA" {
				continue
			}
			if slices.ContainsFunc(messages, func(other sent) bool { return other.controlID == m.controlID }) {
				return nil, nil // asked by its control id, which message is meant depends on the order
			}
			messages = append(messages, m)
			visit = spellKey(m.hl7)
			delete(endings, visits[visit])
			visits[visit] = m.controlID
		case "record":
			m := s.event(t, args)
			messages = append(messages, m)
			visit = m.event.GetVisitNumber()
			delete(endings, visits[visit])
			visits[visit] = m.controlID
		case "again":
		case "outcome":
			endings[visits[visit]] = l.answer
		default:
			s.set(t, l.words)
		}
	}
	return messages, endings
}

// spellKey is what a test knows a spell by: the visit number, or the patient's numbers.
func spellKey(raw []byte) string {
	numbers := ""
	for segment := range strings.SplitSeq(string(raw), "\r") {
		f := strings.Split(segment, "|")
		switch {
		case f[0] == "PV1" && len(f) > 19 && f[19] != "":
			return f[19]
		case f[0] == "PID":
			numbers = f[3]
		}
	}
	return numbers
}

// sendAll sends messages through their doors, over one connection.
func (p *platform) sendAll(t *testing.T, all []sent) {
	t.Helper()
	h, err := hospital.Connect(p.MLLP)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for _, m := range all {
		m.note()
		if m.event != nil {
			if _, err := p.hub.RecordEvent(t.Context(), m.event); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if code, text, err := h.Send(m.hl7); err != nil || code != "AA" {
			t.Fatalf("%s: %s %s %v", m.controlID, code, text, err)
		}
	}
	for _, m := range all {
		if _, _, err := p.handover(t.Context(), m.controlID); err != nil {
			t.Fatal(err)
		}
	}
}
