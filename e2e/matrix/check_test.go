package matrix

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/homeward-care/homeward/e2e/oracle"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// edges are who applies whose events.
var edges = []struct{ producer, eventType, consumer string }{
	{hub, "homeward.discharge.spell.v1", assessment},
	{hub, "homeward.discharge.spell.v1", community},
	{hub, "homeward.discharge.spell.v1", reablement},
	{assessment, "homeward.assessment.assessment.v1", hub},
	{assessment, "homeward.assessment.assessment.v1", community},
	{assessment, "homeward.assessment.assessment.v1", reablement},
	{reablement, "homeward.reablement.need.v1", community},
	{community, "homeward.pickup.task.v1", hub},
}

// check says what is still missing, or wrong, of what was acknowledged in a story and of all that the services hold. As long as something is on
// its way it looks at nothing else: looking costs the services time, too.
func (s *story) check(ctx context.Context) error {
	for _, looks := range [][]func(context.Context) error{{s.w.settled, s.stored}, {s.w.sound, s.written, s.raised, s.outcomes, s.teamsOfMerged, s.storedByFHIR, s.posted, s.answered}} {
		var failed []error
		for _, look := range looks {
			failed = append(failed, look(ctx))
		}
		if err := errors.Join(failed...); err != nil {
			return err
		}
	}
	return nil
}

// settled: nothing is on its way, every handover is delivered, and the services agree on every version.
func (w *world) settled(ctx context.Context) error {
	waiting, err := w.count(ctx, hub, `SELECT (SELECT count(*) FROM inbound_pending) + (SELECT count(*) FROM person_pending) + (SELECT count(*) FROM spell s LEFT JOIN outbox o USING (id)
		WHERE (s.delivered_epoch, s.delivered_version) IS DISTINCT FROM (o.epoch, o.version))`)
	if err == nil && waiting != 0 {
		err = fmt.Errorf("%d messages or spells are on the way", waiting)
	}
	failed := []error{err}
	for _, service := range stack.Services {
		unsent, err := w.count(ctx, service.Name, `SELECT count(*) FROM outbox_unsent`)
		if err == nil && unsent != 0 {
			err = fmt.Errorf("%s has not sent %d events", service.Name, unsent)
		}
		failed = append(failed, err)
	}
	for _, e := range edges {
		saved, err := w.aggregates(ctx, e.producer, "outbox", e.eventType)
		if err != nil {
			return err
		}
		applied, err := w.aggregates(ctx, e.consumer, "inbox", e.eventType)
		if err == nil && !maps.Equal(saved, applied) {
			err = fmt.Errorf("%s holds %d of %s, %s has %d, at other versions", e.consumer, len(applied), e.eventType, e.producer, len(saved))
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// sound: whatever has happened, one task for each spell, nothing buried but poison, no slot given twice, and no notice fired twice.
func (w *world) sound(ctx context.Context) error {
	var failed []error
	spells, err := w.count(ctx, hub, `SELECT count(*) FROM spell`)
	failed = append(failed, err)
	tasks, err := w.count(ctx, community, `SELECT count(*) FROM outbox`)
	if err == nil && tasks != spells {
		err = fmt.Errorf("%d spells, %d tasks", spells, tasks)
	}
	failed = append(failed, err)
	poison := slices.Collect(maps.Keys(w.poison))
	for _, service := range stack.Services {
		buried, err := w.count(ctx, service.Name, `SELECT count(*) FROM dead_letter WHERE NOT id = ANY($1::text[]::uuid[])`, poison)
		if err == nil && buried != 0 {
			err = fmt.Errorf("%s has buried %d events", service.Name, buried)
		}
		failed = append(failed, err)
		// Of each pair the task is the hub's to apply, and the spell everybody else's.
		missing, err := w.count(ctx, service.Name, `SELECT $1 - count(*) FROM dead_letter WHERE id = ANY($2::text[]::uuid[])`, len(poison)/2, poison)
		if err == nil && missing != 0 {
			err = fmt.Errorf("%s has not buried %d events that it cannot apply", service.Name, missing)
		}
		failed = append(failed, err)
	}
	double, err := w.count(ctx, reablement, `SELECT count(*) FROM (
		SELECT spell_id FROM slot GROUP BY spell_id HAVING count(*) > 1 UNION ALL
		SELECT c.id FROM capacity c JOIN slot s ON s.capacity_id = c.id GROUP BY c.id, c.slots HAVING count(*) > c.slots) AS x`)
	if err == nil && double != 0 {
		err = fmt.Errorf("%d slots or people have one too many", double)
	}
	return errors.Join(append(failed, err)...)
}

// stored: every acknowledged message is there, once.
func (s *story) stored(ctx context.Context) error {
	ids := map[string]bool{}
	for _, m := range s.told {
		ids[m.ControlID] = true
	}
	list := slices.Concat(slices.Collect(maps.Keys(ids)), s.extra, s.news)
	n, err := s.w.count(ctx, hub, `SELECT count(DISTINCT control_id) FROM inbound WHERE control_id = ANY($1)`, list)
	if err == nil && n != len(list) {
		err = fmt.Errorf("%d of %d acknowledged messages are stored", n, len(list))
	}
	if err != nil {
		return err
	}
	news, err := s.w.count(ctx, hub, `SELECT count(*) FROM person_fact p JOIN inbound i ON i.id = p.inbound_id
		WHERE i.control_id = ANY($1) AND NOT EXISTS (SELECT 1 FROM person_pending q WHERE q.inbound_id = i.id)`, s.news)
	if err == nil && news != len(s.news) {
		err = fmt.Errorf("%d messages about people are told to their spells, not %d", news, len(s.news))
	}
	if err != nil {
		return err
	}
	set, err := s.w.count(ctx, hub, `SELECT count(*) FROM exception e JOIN inbound i ON i.id = e.inbound_id WHERE i.control_id = ANY($1) AND e.kind = 'unreadable-message'`, s.extra)
	if err == nil && set != len(s.extra) {
		err = fmt.Errorf("%d messages that cannot be stored are set aside, not %d", set, len(s.extra))
	}
	return err
}

// raised: messages that lack something or contradict themselves are exceptions, and no others are.
func (s *story) raised(ctx context.Context) error {
	open, err := rowsOf[oracle.Raised](ctx, s.w, oracle.RaisedSQL, oracle.OfMessages)
	return errors.Join(append(complaints(oracle.CheckRaised(s.told, open)), err)...)
}

// outcomes: what was acknowledged has come to what it must, in the oracle's words.
func (s *story) outcomes(ctx context.Context) error {
	var failed []error
	now := time.Now()
	for _, want := range oracle.ExpectWith(s.all(), s.care) {
		var data []byte
		err := s.w.db[community].QueryRow(ctx, `SELECT data FROM outbox WHERE id = $1`, want.TaskID).Scan(&data)
		if err != nil {
			failed = append(failed, fmt.Errorf("the task of %s: %w", want.SpellID, err))
			continue
		}
		task := &pickupv1.Task{}
		if err := proto.Unmarshal(data, task); err != nil {
			return err
		}
		h, err := s.w.hub.GetHandover(ctx, &dischargev1.GetHandoverRequest{Key: &dischargev1.GetHandoverRequest_SpellId{SpellId: want.SpellID}})
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if h.GetDeliveredAt() == nil {
			failed = append(failed, fmt.Errorf("spell %s is not delivered", want.SpellID))
		}
		var number, ward string
		if err := s.w.db[hub].QueryRow(ctx, `SELECT person::json->>'PatientNumber', person::json->>'Ward' FROM person WHERE spell_id = $1`, want.SpellID).
			Scan(&number, &ward); err != nil {
			failed = append(failed, fmt.Errorf("the person of %s: %w", want.SpellID, err))
			continue
		}
		seen := oracle.SeenOf(task).With(h).WithRecord(number, ward)
		wrong := oracle.CheckActed(want, s.acted[want.SpellID], seen)
		if len(s.acted[want.SpellID]) == 0 {
			wrong = append(wrong, oracle.CheckNotices(want, seen, oracle.Delivered{From: s.began, To: now}, now)...)
		}
		if care := s.care[want.SpellID]; task.GetAssessmentStatus() != care.Assessment || task.GetReablementStatus() != care.Reablement {
			wrong = append(wrong, fmt.Sprintf("spell %s: assessment %q, reablement %q, must be %+v", want.SpellID, task.GetAssessmentStatus(), task.GetReablementStatus(), care))
		}
		for _, w := range wrong {
			failed = append(failed, errors.New(w))
		}
	}
	return errors.Join(failed...)
}
