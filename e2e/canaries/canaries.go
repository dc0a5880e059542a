// Package canaries climbs the fault ladder with bugs that are planted on purpose: a rung that does not see the bug it is for proves nothing
// when it sees none. Each is in the services' code as `if failpoint.Bug("<name>")`, which only programs built with the tag `failpoints`
// have, and only if HOMEWARD_BUG names it. `make canaries` runs all.
package canaries

// Canary is one planted bug, and the rungs that have to catch it.
type Canary struct {
	Name    string
	Breaks  string // what the code does then
	Promise string // what does not hold any more
	// Tests is the folder of the package whose own tests catch it; empty when none does.
	Tests string
	// Simulated is set when the simulation catches it. It cannot see what it has another thing instead of, or never does.
	Simulated bool
	// Cell is the cell of the crash matrix that catches it, if it takes real processes to see all of it.
	Cell string
}

// All are the canaries, from the hospital's door to the six weeks.
var All = []Canary{
	{
		Name: "acknowledge-before-commit", Breaks: "the door answers AA before the raw message is committed",
		Promise: "what was acknowledged is stored", Tests: "services/discharge-hub", Simulated: true, Cell: "discharge-hub: door.store crash-before",
	},
	{
		Name: "answered-uncommitted", Breaks: "the FHIR door answers 2xx when its commit has failed",
		Promise: "what was answered with 2xx is stored", Simulated: true, // the package's tests fail no commit
	},
	{
		Name: "request-id-forgotten", Breaks: "the FHIR door takes a repeated X-Request-ID for a new one",
		Promise: "a repeated request has the same answer and no second effect", Tests: "services/discharge-hub", Simulated: true,
	},
	{
		Name: "fold-by-arrival", Breaks: "messages are folded in the order in which they arrived",
		Promise: "the order, doubling and delay of messages change no outcome", Tests: "services/discharge-hub", Simulated: true,
	},
	{
		Name: "merges-not-followed", Breaks: "what is told of a person is looked for under the spell's own patient numbers alone",
		Promise: "merged numbers are one person's", Tests: "services/discharge-hub", Simulated: true,
	},
	{
		Name: "unaccepted-answer-passes", Breaks: "the ward's answer that its receiver did not accept is taken for accepted",
		Promise: "the ward hears how far its handover is", Tests: "services/discharge-hub", Simulated: true,
	},
	{
		Name: "untaken-webhook-passes", Breaks: "a Task that the webhook did not take is taken for delivered",
		Promise: "a client's webhook gets the newest Task", Tests: "services/discharge-hub", Simulated: true,
	},
	{
		Name: "id-cursor", Breaks: "the relay reads only what has a higher number than what it sent last",
		Promise: "what was committed late is sent too", Tests: "services/kit/outbox", Simulated: true,
	},
	{
		Name: "swallowed-publish-error", Breaks: "the relay takes a publication that failed for one that was acknowledged",
		Promise: "an event waits until the bus has acknowledged it", Tests: "services/kit/outbox", Simulated: true,
	},
	{
		Name: "newer-version-marked-sent", Breaks: "the relay marks all versions of what it sent, not those that it read",
		Promise: "a version that is saved meanwhile is sent too", Tests: "services/kit/outbox", Simulated: true,
	},
	{
		Name: "bare-nak", Breaks: "a delivery that could not be applied is given back without a rest",
		Promise: "what fails is not tried again at once, without end", Tests: "services/kit/bus",
	},
	{
		Name: "confirm-before-commit", Breaks: "a consumer acknowledges deliveries before their effect is committed",
		Promise: "the bus keeps an event until it is applied", Tests: "services/kit/inbox", Simulated: true,
	},
	{
		Name: "equal-version-passes", Breaks: "the fence lets the version pass that it holds already",
		Promise: "each version is applied once", Tests: "services/kit/inbox", Simulated: true,
	},
	{
		Name: "error-beside-poison-passes", Breaks: "an event that could not be applied for the moment is taken for applied where another one of its batch is poison",
		Promise: "poison holds up nobody, and loses nothing", Tests: "services/kit/inbox", // nothing is poison in the simulation
	},
	{
		Name: "older-version-passes", Breaks: "the fence lets everything pass",
		Promise: "a newer state is never overwritten by an older one", Tests: "services/kit/inbox", Simulated: true,
	},
	{
		Name: "walk-stops-at-first-page", Breaks: "reconciliation compares one page and takes it for everything",
		Promise: "whatever the bus lost is repaired", Tests: "services/kit/reconcile", Simulated: true,
	},
	{
		Name: "epoch-forgotten", Breaks: "a declared restore begins no new epoch",
		Promise: "what is published after a restore is newer than all before", Tests: "services/kit/restore", // in the simulation the take-over outruns what consumers have seen
	},
	{
		Name: "deadline-from-receipt", Breaks: "the six weeks run from when the discharge was learned of",
		Promise: "due 42 days after the actual discharge", Tests: "services/community-pickup", Simulated: true,
	},
	{
		Name: "session-zone", Breaks: "days are counted in UTC, as a database session or a container has it",
		Promise: "due at the end of a day in London, across changes of the clocks", Tests: "services/community-pickup", Simulated: true,
	},
	{
		Name: "clock-jump-fires", Breaks: "what is due by the clock is done by one that has jumped ahead",
		Promise: "no deadline fires early, and no slot is freed early", Tests: "services/kit/service", Simulated: true,
	},
	{
		Name: "stale-command", Breaks: "a command is carried out on a version that its giver has not seen",
		Promise: "two people never overwrite each other's work", Tests: "services/community-pickup", // the rules refuse most such commands by themselves
	},
	{
		Name: "task-read-unlocked", Breaks: "an event is applied to a task as it was before what somebody is doing to it",
		Promise: "nobody's work is overwritten", Tests: "services/community-pickup", Simulated: true,
	},
	{
		Name: "gate-left-open", Breaks: "care that is asked for and the news of its spell pass each other without a lock",
		Promise: "what ends a spell ends what was asked for it", Tests: "services/light-touch-assessment", Simulated: true,
	},
	{
		Name: "next-deadline-late", Breaks: "a task is looked at a day after its deadline",
		Promise: "no notice is later than the sweeper's interval", Tests: "services/community-pickup", Simulated: true,
	},
	{
		Name: "released-slot-kept", Breaks: "a slot that is given back or lost is free for nobody",
		Promise: "a slot is somebody's or free", Tests: "services/reablement-capacity", Simulated: true,
	},
	{
		Name: "hold-without-expiry", Breaks: "a hold has no end",
		Promise: "a slot that nobody accepted is free again", Tests: "services/reablement-capacity", Simulated: true,
	},
}
