package pickup

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// Task is the one outcome of a spell, as it is stored: the newest snapshots, what the rules decided from them, and what people and
// the clock did. It holds no personal data. All moments are UTC; a zero moment has not happened.
type Task struct {
	TaskID    string `json:"task_id"`
	SpellID   string `json:"spell_id"`
	Reference string `json:"reference,omitempty"`
	// Origin is the W3C trace context of the handover that made the task; the shell sets it.
	Origin string `json:"origin,omitempty"`
	// Inputs are the newest snapshots, by which everything below was decided.
	Inputs Inputs `json:"inputs"`
	// Awaits is the version of the spell on which a task rests that was taken over after a restore, until that version is here; see Adopt.
	Awaits *Stamp `json:"awaits,omitempty"`

	// Decided from the inputs, the place's data and what people settled.
	Outcome         Outcome   `json:"outcome,omitempty"`
	Reason          string    `json:"reason"`
	ReasonText      string    `json:"reason_text"`
	Team            string    `json:"team,omitempty"`
	Route           Route     `json:"route,omitzero"`
	ProposedTeam    string    `json:"proposed_team,omitempty"`
	ProposedReason  string    `json:"proposed_reason,omitempty"`
	DischargedOn    Date      `json:"discharged_on,omitempty"`
	DueOn           Date      `json:"due_on,omitempty"`
	DueAt           time.Time `json:"due_at,omitzero"`
	DueReason       string    `json:"due_reason,omitempty"`
	FirstContactBy  time.Time `json:"first_contact_by,omitzero"`
	Priority        Priority  `json:"priority,omitempty"`
	PriorityReasons []string  `json:"priority_reasons,omitempty"`
	Contact         Contact   `json:"contact,omitempty"`
	Progress        Progress  `json:"progress,omitempty"`
	PickedUpAt      time.Time `json:"picked_up_at,omitzero"`
	Met             bool      `json:"met"`
	Flags           []string  `json:"flags,omitempty"`
	Watched         bool      `json:"watched,omitempty"` // not due, and watched for facts that would change that
	Ruled           Ruled     `json:"ruled,omitzero"`

	DirectoryVersion string `json:"directory_version"`
	PolicyVersion    string `json:"policy_version"`

	// Recorded: what people did, and when we learned of what.
	Worker         string      `json:"worker,omitempty"`
	TakenAt        time.Time   `json:"taken_at,omitzero"`
	FirstContactAt time.Time   `json:"first_contact_at,omitzero"`
	CompletedAt    time.Time   `json:"completed_at,omitzero"`
	Ending         Ending      `json:"ending,omitempty"`
	Contacts       []Attempt   `json:"contacts,omitempty"`
	Visit          *Visit      `json:"visit,omitempty"` // the one that is booked; a nil one is not
	Settled        *Settled    `json:"settled,omitempty"`
	Resolved       *Resolution `json:"resolved,omitempty"`

	// DischargeNumber is the number of the discharge that was last learned of, and LearnedAt when that was.
	DischargeNumber   int       `json:"discharge_number,omitempty"`
	LearnedAt         time.Time `json:"learned_at,omitzero"`
	DaysUsedOnArrival int       `json:"days_used_on_arrival,omitempty"`
	// DeliveredAt is since when the team that has the task could take it; untaken time counts from then.
	DeliveredAt time.Time `json:"delivered_at,omitzero"`
	// Schedule is the number of the newest clock, under which notices run.
	Schedule int      `json:"schedule,omitempty"`
	Clocks   []Clock  `json:"clocks,omitempty"`
	Notices  []Notice `json:"notices,omitempty"`
}

// Outcome is what became of a spell.
type Outcome string

const (
	InHospital        Outcome = "in-hospital"
	PickUpDue         Outcome = "pick-up-due"
	NotDue            Outcome = "not-due"
	InAnotherHospital Outcome = "in-another-hospital"
)

// Ruled is the rules' own answer to "which team?", which people may have decided against.
type Ruled struct {
	Team   string `json:"team"`
	Route  Route  `json:"route"`
	Reason string `json:"reason"`
}

// Settled is a team that people settled by taking the task, assigning it or answering a proposal. From then on facts only
// propose another.
type Settled struct {
	Team  string `json:"team"`
	Route Route  `json:"route"`
	// Against is the rules' answer that people knew when they settled it: only another answer is a proposal.
	Against string `json:"against"`
	// The discharge, and what the rules made of it, that the team works under.
	Discharge  int     `json:"discharge"`
	Outcome    Outcome `json:"outcome"`
	Reason     string  `json:"reason"`
	ReasonText string  `json:"reason_text"`
}

// Attempt is one attempt to reach the person.
type Attempt struct {
	Method     string    `json:"method"`
	TwoWay     bool      `json:"two_way"`
	At         time.Time `json:"at"`
	RecordedAt time.Time `json:"recorded_at"`
}

// Clock is one run of a task's time. The newest one counts, the others are its history; nothing in them is ever changed but
// their end.
type Clock struct {
	Schedule  int       `json:"schedule"`
	Kind      ClockKind `json:"kind"`
	Discharge int       `json:"discharge"` // number of the discharge that started it
	From      Date      `json:"from"`
	DueAt     time.Time `json:"due_at,omitzero"`
	Reason    string    `json:"reason"` // why it began
	StartedAt time.Time `json:"started_at"`
	VoidedAt  time.Time `json:"voided_at,omitzero"`
	// What had been reached when another clock began.
	TakenAt        time.Time `json:"taken_at,omitzero"`
	FirstContactAt time.Time `json:"first_contact_at,omitzero"`
	CompletedAt    time.Time `json:"completed_at,omitzero"`
	Ending         Ending    `json:"ending,omitempty"`
}

// ClockKind says what a clock runs for.
type ClockKind string

const (
	ClockPickUp    ClockKind = "pick-up"
	ClockWatch     ClockKind = "watch"
	ClockElsewhere ClockKind = "in-another-hospital"
)

// TaskID is the id of a spell's one task: UUIDv5 of "task" in the namespace that the spell's id is. An id that is not a UUID,
// which Inputs.Validate refuses, is hashed into a namespace first, so that no two spells can share a task.
func TaskID(spellID string) string {
	namespace, err := uuid.Parse(spellID)
	if err != nil {
		namespace = uuid.NewSHA1(uuid.Nil, []byte(spellID))
	}
	return uuid.NewSHA1(namespace, []byte("task")).String()
}

// open says whether somebody has something to do.
func (t Task) open() bool {
	return t.actionable() && t.Ending == ""
}

func (t Task) actionable() bool {
	return t.Outcome == PickUpDue || t.Outcome == InAnotherHospital
}

// clone copies what a decision may change, so that a task given to one stays as it was.
func (t Task) clone() Task {
	t.Contacts = slices.Clone(t.Contacts)
	t.Clocks = slices.Clone(t.Clocks)
	t.Notices = slices.Clone(t.Notices)
	t.Flags = slices.Clone(t.Flags)
	if t.Settled != nil {
		settled := *t.Settled
		t.Settled = &settled
	}
	return t
}
