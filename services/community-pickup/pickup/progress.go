package pickup

import "time"

// Progress is how far the team is; it is empty where there is nothing to take.
type Progress string

const (
	ProgressUntaken Progress = "untaken"
	ProgressTaken   Progress = "taken"
	// ProgressPickedUp needs an allocated worker and a two-way first contact.
	ProgressPickedUp Progress = "picked-up"
	ProgressClosed   Progress = "closed"
)

// Ending is how a closed task ended.
type Ending string

const (
	EndingAssessed Ending = "assessed"
	EndingReviewed Ending = "reviewed"
	EndingDeclined Ending = "declined"
	EndingMoved    Ending = "moved"
	EndingDied     Ending = "died"
)

// meets says whether the six weeks were kept: only by a completed proportionate assessment, or a review where a plan exists,
// before dueAt. Declined, moved and died are recorded as such, never as met.
//
// Source: design §5, "What meets it"; Care Act 2014, sections 9 and 27, for what an assessment and a review are.
func meets(ending Ending, completedAt, dueAt time.Time) bool {
	return (ending == EndingAssessed || ending == EndingReviewed) && completedAt.Before(dueAt)
}

// conclude derives from what was decided and recorded everything that follows from both: contact, progress, picked up, met, the
// team that has the task and the one that the facts propose. Each decision and each command ends with it.
func (t Task) conclude() Task {
	t.Contact = contact(*t.Inputs.Spell, t.Resolved, t.Ending)
	t.Progress = t.progress()
	t.PickedUpAt = time.Time{}
	if t.Worker != "" && !t.FirstContactAt.IsZero() {
		t.PickedUpAt = later(t.TakenAt, t.FirstContactAt)
	}
	t.Met = meets(t.Ending, t.CompletedAt, t.DueAt)
	t.Team, t.Route, t.ProposedTeam, t.ProposedReason = t.team()
	return t
}

func (t Task) progress() Progress {
	switch {
	case t.Ending != "":
		return ProgressClosed
	case t.Worker != "" && !t.FirstContactAt.IsZero():
		return ProgressPickedUp
	case t.Worker != "":
		return ProgressTaken
	case t.actionable():
		return ProgressUntaken
	}
	return ""
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
