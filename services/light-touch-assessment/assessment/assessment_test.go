package assessment_test

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/homeward-care/homeward/services/light-touch-assessment/assessment"
)

var (
	spell = uuid.MustParse("0b54cf42-2f0a-5f57-9d0e-33b3b6a6f0a1")
	now   = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
)

// small is a question set with one question of each kind.
var small = mustParse(`{
	"id": "small-1",
	"sections": [
		{"code": "home", "questions": [
			{"code": "access", "text": "?", "required": true, "answers": [{"code": "yes", "text": "Yes"}, {"code": "no", "text": "No", "needs": "key-safe"}]},
			{"code": "roof", "text": "?", "required": true, "answers": [{"code": "yes", "text": "Yes"}, {"code": "no", "text": "No", "not_safe": true}]}
		]},
		{"code": "others", "questions": [
			{"code": "pets", "text": "?", "required": false, "answers": [{"code": "yes", "text": "Yes"}, {"code": "no", "text": "No"}]}
		]}
	],
	"conditions": ["key-safe", "telecare"],
	"owners": ["hub", "CLS-GRAYS"]
}`)

func mustParse(s string) assessment.QuestionSet {
	set, err := assessment.ParseQuestionSet([]byte(s))
	if err != nil {
		panic(err)
	}
	return set
}

func TestWhatADecisionNeeds(t *testing.T) {
	fine := map[string]string{"access": "yes", "roof": "yes"}
	with := func(question, answer string) map[string]string {
		a := maps.Clone(fine)
		a[question] = answer
		return a
	}
	keySafe := assessment.NewCondition{Code: "key-safe", Owner: "hub", Due: assessment.BeforeLeaving}
	telecare := assessment.NewCondition{Code: "telecare", Owner: "CLS-GRAYS", Due: assessment.Within72Hours}
	for name, tc := range map[string]struct {
		c     assessment.Completion
		field string // at fault; empty when all is well
		names string // what the refusal names
	}{
		"safe": {c: assessment.Completion{Answers: fine, Decision: assessment.Safe}},
		"safe with an optional question answered":           {c: assessment.Completion{Answers: with("pets", "no"), Decision: assessment.Safe}},
		"safe with what the answer needs":                   {c: assessment.Completion{Answers: with("access", "no"), Decision: assessment.SafeWithConditions, Conditions: []assessment.NewCondition{keySafe}}},
		"not yet safe needs no condition":                   {c: assessment.Completion{Answers: with("roof", "no"), Decision: assessment.NotYetSafe}},
		"the hub's MDT may get conditions":                  {c: assessment.Completion{Answers: with("roof", "no"), Decision: assessment.NeedsHubMDT, Conditions: []assessment.NewCondition{telecare}}},
		"no decision":                                       {assessment.Completion{Answers: fine}, "decision", "missing"},
		"safe in a home without a roof":                     {assessment.Completion{Answers: with("roof", "no"), Decision: assessment.Safe}, "decision", "roof"},
		"conditions do not mend a roof":                     {assessment.Completion{Answers: with("roof", "no"), Decision: assessment.SafeWithConditions, Conditions: []assessment.NewCondition{keySafe}}, "decision", "roof"},
		"safe with conditions":                              {assessment.Completion{Answers: fine, Decision: assessment.Safe, Conditions: []assessment.NewCondition{telecare}}, "decision", "conditions"},
		"safe with conditions, but none":                    {assessment.Completion{Answers: fine, Decision: assessment.SafeWithConditions}, "decision", "none"},
		"safe without what the answer needs":                {assessment.Completion{Answers: with("access", "no"), Decision: assessment.Safe}, "conditions", "key-safe"},
		"with another condition than what the answer needs": {assessment.Completion{Answers: with("access", "no"), Decision: assessment.SafeWithConditions, Conditions: []assessment.NewCondition{telecare}}, "conditions", "key-safe"},
		"a question not answered":                           {assessment.Completion{Answers: map[string]string{"roof": "yes"}, Decision: assessment.Safe}, "answers", "access"},
		"a question that is not asked":                      {assessment.Completion{Answers: with("income", "low"), Decision: assessment.Safe}, "answers", "income"},
		"an answer that is not offered":                     {assessment.Completion{Answers: with("access", "maybe"), Decision: assessment.Safe}, "answers", "maybe"},
		"a condition that is not listed":                    {assessment.Completion{Answers: fine, Decision: assessment.SafeWithConditions, Conditions: []assessment.NewCondition{{Code: "ask the neighbour", Owner: "hub", Due: assessment.BeforeLeaving}}}, "conditions", "ask the neighbour"},
		"a condition without owner":                         {assessment.Completion{Answers: fine, Decision: assessment.SafeWithConditions, Conditions: []assessment.NewCondition{{Code: "telecare", Due: assessment.BeforeLeaving}}}, "conditions", "owner"},
		"a condition without due time":                      {assessment.Completion{Answers: fine, Decision: assessment.SafeWithConditions, Conditions: []assessment.NewCondition{{Code: "telecare", Owner: "hub"}}}, "conditions", "due"},
		"a condition twice":                                 {assessment.Completion{Answers: fine, Decision: assessment.SafeWithConditions, Conditions: []assessment.NewCondition{telecare, telecare}}, "conditions", "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			requested := assessment.Request(spell, small, now)
			got, err := assessment.Completing(requested, small, tc.c, now)
			if tc.field == "" {
				if err != nil || got.Status != assessment.Complete || got.Decision != tc.c.Decision || len(got.Conditions) != len(tc.c.Conditions) {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			var refusal *assessment.Error
			if !errors.As(err, &refusal) || refusal.Kind != assessment.Invalid || refusal.Field != tc.field || !strings.Contains(refusal.Reason, tc.names) {
				t.Errorf("%v; want the field %s and the word %q", err, tc.field, tc.names)
			}
			if diff := cmp.Diff(requested, got); diff != "" {
				t.Errorf("a refusal changed it:\n%s", diff)
			}
		})
	}
}

func TestConditionIDsAreTheSameWheneverTheSameIsSet(t *testing.T) {
	id := assessment.ConditionID(spell, "small-1", "key-safe")
	if got := assessment.ConditionID(spell, "small-1", "key-safe"); got != id || id.Version() != 5 {
		t.Errorf("%v and %v", id, got)
	}
	others := []uuid.UUID{
		assessment.ConditionID(spell, "small-1", "telecare"), assessment.ConditionID(spell, "small-2", "key-safe"),
		assessment.ConditionID(uuid.Max, "small-1", "key-safe"),
	}
	if slices.Contains(others, id) {
		t.Errorf("%v is not of one condition alone", id)
	}
}

func TestLeftWithUnmetCountsWhatWasUnmetAtTheMomentOfLeaving(t *testing.T) {
	before, after := now.Add(-time.Microsecond), now.Add(time.Microsecond)
	cond := func(due assessment.Due, met time.Time) assessment.Condition {
		return assessment.Condition{Due: due, MetAt: met}
	}
	for name, tc := range map[string]struct {
		conditions []assessment.Condition
		spell      assessment.Spell
		want       int
	}{
		"still in hospital":           {[]assessment.Condition{cond(assessment.BeforeLeaving, time.Time{})}, assessment.Spell{}, 0},
		"left with one unmet":         {[]assessment.Condition{cond(assessment.BeforeLeaving, time.Time{})}, assessment.Spell{LeftAt: now}, 1},
		"met before":                  {[]assessment.Condition{cond(assessment.BeforeLeaving, before)}, assessment.Spell{LeftAt: now}, 0},
		"met at that moment":          {[]assessment.Condition{cond(assessment.BeforeLeaving, now)}, assessment.Spell{LeftAt: now}, 0},
		"met after":                   {[]assessment.Condition{cond(assessment.BeforeLeaving, after)}, assessment.Spell{LeftAt: now}, 1},
		"due later":                   {[]assessment.Condition{cond(assessment.Within24Hours, time.Time{}), cond(assessment.Within72Hours, after)}, assessment.Spell{LeftAt: now}, 0},
		"the admission was cancelled": {[]assessment.Condition{cond(assessment.BeforeLeaving, time.Time{})}, assessment.Spell{LeftAt: now, Voided: true}, 0},
		"died at home after leaving":  {[]assessment.Condition{cond(assessment.BeforeLeaving, time.Time{})}, assessment.Spell{LeftAt: now, Died: true}, 1},
		"died in hospital":            {[]assessment.Condition{cond(assessment.BeforeLeaving, time.Time{})}, assessment.Spell{Died: true}, 0},
		"two of three":                {[]assessment.Condition{cond(assessment.BeforeLeaving, after), cond(assessment.BeforeLeaving, before), cond(assessment.BeforeLeaving, time.Time{})}, assessment.Spell{LeftAt: now}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			a := assessment.Assessment{Status: assessment.Complete, Conditions: tc.conditions, LeftWithUnmet: 7}
			if got := assessment.Follow(a, tc.spell); got.LeftWithUnmet != tc.want || got.Status != assessment.Complete {
				t.Errorf("%d unmet, %s; want %d, complete", got.LeftWithUnmet, got.Status, tc.want)
			}
		})
	}
}

func TestUnmetComesByDueTime(t *testing.T) {
	a := assessment.Assessment{Conditions: []assessment.Condition{
		{Code: "c", Due: assessment.Within72Hours}, {Code: "b", Due: assessment.Within24Hours}, {Code: "met", Due: assessment.BeforeLeaving, MetAt: now},
		{Code: "a", Due: assessment.BeforeLeaving}, {Code: "d", Due: assessment.Within72Hours},
	}}
	var got []string
	for _, c := range a.Unmet() {
		got = append(got, c.Code)
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "d"}, got); diff != "" {
		t.Errorf("unmet (-want +got):\n%s", diff)
	}
}

// In whatever order commands and snapshots of the spell come, the state follows from the commands that were accepted and the last snapshot,
// and what was finished stays finished.
func TestAnyCourseKeepsTheInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, last := assessment.Request(spell, small, now), assessment.Spell{}
		finished := false
		for i := range rapid.IntRange(1, 20).Draw(t, "steps") {
			at := now.Add(time.Duration(i) * time.Minute)
			was := a
			var err error
			switch rapid.IntRange(0, 3).Draw(t, "command") {
			case 0:
				last = assessment.Spell{Voided: rapid.Bool().Draw(t, "voided"), Died: rapid.Bool().Draw(t, "died")}
				if rapid.Bool().Draw(t, "left") {
					last.LeftAt = now.Add(time.Duration(rapid.IntRange(-5, 25).Draw(t, "minute")) * time.Minute)
				}
			case 1:
				a, err = assessment.Completing(a, small, assessment.Completion{
					Answers: map[string]string{"access": "no", "roof": "yes"}, Decision: assessment.SafeWithConditions,
					Conditions: []assessment.NewCondition{
						{Code: "key-safe", Owner: "hub", Due: assessment.BeforeLeaving}, {Code: "telecare", Owner: "hub", Due: assessment.BeforeLeaving},
					},
				}, at)
			case 2:
				a, err = assessment.Decline(a)
			case 3:
				code := rapid.SampledFrom(small.Conditions).Draw(t, "condition")
				a, err = assessment.Meet(a, assessment.ConditionID(spell, small.ID, code), at)
			}
			if err != nil {
				if diff := cmp.Diff(was, a); diff != "" {
					t.Fatalf("a refusal changed it:\n%s", diff)
				}
			}
			a = assessment.Follow(a, last)
			if diff := cmp.Diff(a, assessment.Follow(a, last)); diff != "" {
				t.Fatalf("following twice is not following once:\n%s", diff)
			}
			if finished && a.Status != was.Status {
				t.Fatalf("%s became %s", was.Status, a.Status)
			}
			finished = a.Status == assessment.Complete || a.Status == assessment.Declined
			if ended := last.Voided || last.Died; !finished && (a.Status == assessment.Superseded) != ended {
				t.Fatalf("%s while the spell is %+v", a.Status, last)
			}
			if (a.Status == assessment.Complete) != (a.Decision != "") || (a.Decision != "") != !a.CompletedAt.IsZero() {
				t.Fatalf("half complete: %+v", a)
			}
			for i, c := range was.Conditions {
				if !c.MetAt.IsZero() && !a.Conditions[i].MetAt.Equal(c.MetAt) {
					t.Fatalf("condition %s was met at %s, now at %s", c.Code, c.MetAt, a.Conditions[i].MetAt)
				}
			}
		}
	})
}

func TestAQuestionSetThatIsNotWholeIsRefused(t *testing.T) {
	question := `{"code": "q", "text": "?", "required": true, "answers": [{"code": "yes", "text": "Yes"}, {"code": "no", "text": "No"}]}`
	for name, s := range map[string]string{
		"not JSON":                `safe-discharge`,
		"an unknown field":        `{"id": "x", "colour": "red"}`,
		"no questions":            `{"id": "x", "owners": ["hub"]}`,
		"no owners":               `{"id": "x", "sections": [{"code": "s", "questions": [` + question + `]}]}`,
		"a question twice":        `{"id": "x", "owners": ["hub"], "sections": [{"code": "s", "questions": [` + question + `,` + question + `]}]}`,
		"a condition twice":       `{"id": "x", "owners": ["hub"], "conditions": ["c", "c"], "sections": [{"code": "s", "questions": [` + question + `]}]}`,
		"one answer":              `{"id": "x", "owners": ["hub"], "sections": [{"code": "s", "questions": [{"code": "q", "answers": [{"code": "yes"}]}]}]}`,
		"an answer twice":         `{"id": "x", "owners": ["hub"], "sections": [{"code": "s", "questions": [{"code": "q", "answers": [{"code": "yes"}, {"code": "yes"}]}]}]}`,
		"a condition that is not": `{"id": "x", "owners": ["hub"], "sections": [{"code": "s", "questions": [{"code": "q", "answers": [{"code": "yes"}, {"code": "no", "needs": "c"}]}]}]}`,
	} {
		if _, err := assessment.ParseQuestionSet([]byte(s)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestTheShippedQuestionSetsAreWhole(t *testing.T) {
	files, err := os.ReadDir("../questionsets")
	if err != nil {
		t.Fatal(err)
	}
	sets := 0
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".json") {
			continue
		}
		sets++
		data, err := os.ReadFile("../questionsets/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		set, err := assessment.ParseQuestionSet(data)
		if err != nil {
			t.Error(err)
		}
		for _, section := range set.Sections {
			for _, q := range section.Questions {
				if !slices.ContainsFunc(q.Answers, func(a assessment.Answer) bool { return !a.NotSafe && a.Needs == "" }) {
					t.Errorf("%s: with no answer to %q can anybody be safe to go home", set.ID, q.Code)
				}
			}
		}
	}
	if sets == 0 {
		t.Error("there are no question sets")
	}
}
