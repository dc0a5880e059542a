package fhir

import (
	"time"
)

// Handover is what is told back about a spell: what the hub knows, and what community-pickup says of its task. It holds ids, codes and times.
type Handover struct {
	SpellID     string `json:"spell_id"`
	Reference   string `json:"reference"`
	Provider    string `json:"provider"`
	VisitNumber string `json:"visit_number,omitempty"`
	Voided      bool   `json:"voided,omitempty"`
	// DischargeCancelled says that the person is in hospital because the discharge told last was cancelled.
	DischargeCancelled bool    `json:"discharge_cancelled,omitempty"`
	Delivered          bool    `json:"delivered,omitempty"` // community-pickup has confirmed the newest version
	Pickup             *Pickup `json:"pickup,omitempty"`
}

// Pickup is the task in community-pickup, in the words of homeward.pickup.v1.
type Pickup struct {
	Outcome        string    `json:"outcome"` // in-hospital, pick-up-due, not-due, in-another-hospital
	Reason         string    `json:"reason,omitempty"`
	Team           string    `json:"team,omitempty"`
	DueAt          time.Time `json:"due_at,omitzero"`
	ContactHeld    bool      `json:"contact_held,omitempty"`
	Progress       string    `json:"progress,omitempty"` // untaken, taken, picked-up, closed
	TakenAt        time.Time `json:"taken_at,omitzero"`
	FirstContactAt time.Time `json:"first_contact_at,omitzero"`
	PickedUpAt     time.Time `json:"picked_up_at,omitzero"`
	VisitOn        string    `json:"visit_on,omitempty"` // YYYY-MM-DD; empty while no visit is booked
	VisitAt        time.Time `json:"visit_at,omitzero"`  // the moment on that day, where one was agreed
	CompletedAt    time.Time `json:"completed_at,omitzero"`
	Ending         string    `json:"ending,omitempty"` // assessed, reviewed, declined, moved, died
	Met            bool      `json:"met,omitempty"`
}

// State is where a handover stands: Task.status, Task.businessStatus and the code of Task.statusReason, empty when there is none.
type State struct{ Status, Business, Reason string }

// TaskStatusSystem is the system of Task.status, and TaskStatuses are all of its codes in R4, those that no Task here has included.
const TaskStatusSystem = "http://hl7.org/fhir/task-status"

var TaskStatuses = []string{"draft", "requested", "received", "accepted", "rejected", "ready", "cancelled", "in-progress", "on-hold", "failed", "completed",
	"entered-in-error"}

// The words of Task.businessStatus, in the order of a handover's course; the last three end it or set it aside.
const (
	Received          = "received"
	Delivered         = "delivered"
	Taken             = "taken"
	FirstContact      = "first-contact"
	VisitBooked       = "visit-booked"
	Assessed          = "assessed"
	Closed            = "closed"
	NoPickUpDue       = "no-pick-up-due"
	InAnotherHospital = "in-another-hospital"
	Cancelled         = "cancelled"
)

// State decides it:
//
//	stored, not confirmed by community-pickup              requested    received
//	confirmed, still in hospital                           received     delivered
//	the discharge was cancelled                            on-hold      delivered      discharge-cancelled
//	there was no such stay                                 cancelled    cancelled
//	no pick-up is due                                      rejected     no-pick-up-due the rule
//	moved to another hospital                              on-hold      in-another-hospital
//	due, nobody has it                                     received     delivered
//	a named worker has it                                  accepted     taken
//	spoken with the person                                 in-progress  first-contact
//	a visit is booked, and was not cancelled               in-progress  visit-booked
//	assessed, or an existing plan reviewed                 completed    assessed
//	ended without                                          cancelled    closed         declined, moved or died
//
// Where facts about death contradict each other, what is open is on-hold, contact-held.
func (h Handover) State() State {
	p := h.Pickup
	switch {
	case h.Voided:
		return State{"cancelled", Cancelled, ""}
	case p == nil:
		return State{"requested", Received, ""}
	case p.Ending == "assessed" || p.Ending == "reviewed":
		return State{"completed", Assessed, p.Ending}
	case p.Ending != "":
		return State{"cancelled", Closed, p.Ending}
	case p.Outcome == "not-due" && h.Delivered:
		return State{"rejected", NoPickUpDue, p.Reason}
	case p.Outcome == "in-another-hospital":
		return State{"on-hold", InAnotherHospital, ""}
	}
	s := State{"received", Delivered, ""}
	switch {
	case p.Outcome == "in-hospital" && h.DischargeCancelled:
		s = State{"on-hold", Delivered, "discharge-cancelled"}
	case p.Outcome != "pick-up-due": // whatever was reached before
	case p.VisitOn != "":
		s = State{"in-progress", VisitBooked, ""}
	case !p.FirstContactAt.IsZero() || !p.PickedUpAt.IsZero():
		s = State{"in-progress", FirstContact, ""}
	case !p.TakenAt.IsZero():
		s = State{"accepted", Taken, ""}
	}
	if s.Business == Delivered && !h.Delivered {
		return State{"requested", Received, s.Reason}
	}
	if p.ContactHeld {
		s.Status, s.Reason = "on-hold", "contact-held"
	}
	return s
}

// Version is one version of a Task: which, when it came about, and since when there is one.
type Version struct {
	Number             int64
	UpdatedAt, Created time.Time
}

// Task is the handover as FHIR's Task, for a reader who knows visit numbers under that system.
func (h Handover) Task(v Version, visitSystem string) any {
	s := h.State()
	identifiers := []object{{"system": ReferenceSystem, "value": h.Reference}}
	t := object{
		"resourceType": "Task", "id": TaskID(h.SpellID), "meta": meta(v.Number, v.UpdatedAt),
		"status": s.Status, "businessStatus": concept(StatusSystem, s.Business), "intent": "order",
		"code":       object{"text": "Pick-up in the community after a hospital stay"},
		"authoredOn": instant(v.Created), "lastModified": instant(v.UpdatedAt),
		"requester": object{"identifier": object{"system": ODSSystem, "value": h.Provider}},
	}
	if s.Reason != "" {
		t["statusReason"] = concept(ReasonSystem, s.Reason)
	}
	if h.VisitNumber != "" && visitSystem != "" {
		visit := object{"system": visitSystem, "value": h.VisitNumber}
		identifiers = append(identifiers, visit)
		t["encounter"] = object{"identifier": visit}
	}
	t["identifier"] = identifiers
	if p := h.Pickup; p != nil {
		if p.Team != "" {
			t["owner"] = object{"identifier": object{"system": TeamSystem, "value": p.Team}}
		}
		if !p.DueAt.IsZero() {
			t["restriction"] = object{"period": object{"end": instant(p.DueAt)}}
		}
		if !p.TakenAt.IsZero() {
			period := object{"start": instant(p.TakenAt)}
			if !p.CompletedAt.IsZero() {
				period["end"] = instant(p.CompletedAt)
			}
			t["executionPeriod"] = period
		}
		if out := p.outputs(s.Business == VisitBooked); len(out) > 0 {
			t["output"] = out
		}
	}
	return t
}

// outputs tells what was reached; of a visit, when it is booked for, while that is what the handover waits for.
func (p Pickup) outputs(awaited bool) (list []object) {
	at := func(code string, at time.Time) {
		if !at.IsZero() {
			list = append(list, object{"type": concept(OutputSystem, code), "valueDateTime": instant(at)})
		}
	}
	at("taken", p.TakenAt)
	at("first-contact", p.FirstContactAt)
	at("picked-up", p.PickedUpAt)
	if on := p.VisitOn; awaited {
		if !p.VisitAt.IsZero() {
			on = instant(p.VisitAt)
		}
		list = append(list, object{"type": concept(OutputSystem, "visit-booked-for"), "valueDateTime": on})
	}
	at("completed", p.CompletedAt)
	if p.Ending != "" {
		list = append(list, object{"type": concept(OutputSystem, "met-in-six-weeks"), "valueBoolean": p.Met})
	}
	return list
}

func meta(version int64, updated time.Time) object {
	return object{"versionId": itoa(version), "lastUpdated": instant(updated)}
}
