package lighttouch_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	"github.com/homeward-care/homeward/services/kit/event"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/service"
	lighttouch "github.com/homeward-care/homeward/services/light-touch-assessment"
	"github.com/homeward-care/homeward/services/light-touch-assessment/migrations"
)

func TestRestoredServiceHasItsAssessmentsBack(t *testing.T) {
	t.Parallel()
	db := kittest.Open(t, kittest.Database(t, migrations.FS))
	now := time.Date(2026, 9, 10, 9, 0, 0, 0, time.UTC)
	lost, putBack := uuid.New(), uuid.New()
	if _, err := db.Pool.Exec(t.Context(), `INSERT INTO assessment (spell_id, status, question_set, answers, decision, requested_at, left_with_unmet)
		VALUES ($1, 'requested', 'safe-discharge-1', '{}', '', $2, 0)`, putBack, now); err != nil {
		t.Fatal(err)
	}
	held := make([]event.Event, 0, 2)
	want := map[string]*assessmentv1.Assessment{}
	for _, spell := range []uuid.UUID{lost, putBack} {
		a := &assessmentv1.Assessment{
			SpellId: spell.String(), Status: assessmentv1.Status_STATUS_COMPLETE, QuestionSet: "safe-discharge-1",
			Decision: assessmentv1.Decision_DECISION_SAFE_WITH_CONDITIONS, RequestedAt: timestamppb.New(now), CompletedAt: timestamppb.New(now.Add(time.Hour)), LeftWithUnmet: 1,
			Conditions: []*assessmentv1.Condition{
				{ConditionId: uuid.NewString(), Code: "key-safe", Owner: "hub", Due: assessmentv1.Due_DUE_BEFORE_LEAVING},
				{ConditionId: uuid.NewString(), Code: "medicines-to-take-home", Owner: "ward", Due: assessmentv1.Due_DUE_BEFORE_LEAVING, MetAt: timestamppb.New(now.Add(2 * time.Hour))},
			},
		}
		data, err := proto.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		want[spell.String()] = a
		held = append(held, event.Event{Type: "homeward.assessment.assessment.v1", ID: spell, Key: spell, Epoch: 1, Version: 4, OccurredAt: now, RecordedAt: now, Data: data})
	}
	wire := func(s *service.Service) error {
		return lighttouch.Wire(s, lighttouch.Config{QuestionSet: "safe-discharge-1"})
	}
	published := kittest.TakeOver(t, db, now.Add(24*time.Hour), wire, held...)
	for spell, a := range want {
		var got assessmentv1.Assessment
		if err := proto.Unmarshal(published[spell].Data, &got); err != nil || !proto.Equal(&got, a) {
			t.Errorf("published is\n%v\nwant\n%v, %v", &got, a, err)
		}
		var unmet, answersLost int
		if err := db.Pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM assessment_condition WHERE spell_id = $1 AND met_at IS NULL),
			(SELECT count(*) FROM audit WHERE record = $1 AND detail LIKE '%answers=lost')`, spell).Scan(&unmet, &answersLost); err != nil || unmet != 1 || answersLost != 1 {
			t.Errorf("%d conditions are unmet, lost answers are told %d times, %v", unmet, answersLost, err)
		}
	}
}
