// Package pickup decides what becomes of a hospital discharge: whether a Community Led Support team picks the person up, which team,
// by when, and what happens on the way. It is pure: the same snapshots, place and moment give the same answer, without a clock, a
// database or a call. Production, tests, simulation, replay and previews share it.
//
// # The rules, in the order in which they are applied
//
//  1. Newest snapshots (facts.go). Of the spell, its light-touch assessment and its reablement need, the newest of each counts, by
//     epoch and version, whatever order they came in. Nothing is decided before the spell is known.
//  2. In hospital, or never was (ruling.go). Without a discharge that holds, nothing is due; a cancelled admission is "not due".
//  3. Ours? (residence.go) Home postcode first, by the dated table; the practice only where no home was told, or to contradict it.
//     Conflict, no fixed abode and not knowing are the hub's.
//  4. Involved? (due.go) Every way in which social care is known to be involved; on a feed of such people, everybody is.
//  5. Is a pick-up due? (due.go) The place's dated policy rows, the first match wins: died, under 18, another hospital, out of area,
//     residence unclear, social-care feed, involved, and at last "no social-care involvement known", which is watched.
//  6. Which team? (route.go) Practice, closed practice's last network, destination's sector, home's sector, the hub.
//  7. By when? (clock.go) 42 calendar days after the actual discharge's local date, to the end of the day; beside it the first
//     contact in working days.
//  8. What first? (priority.go)
//  9. May anybody contact the person? (contact.go)
//  10. What do corrections change? (correction.go) Everything until people have settled the team; then a team is proposed, and death,
//     cancellation, method and time still apply.
//  11. Which clock runs? (deadlines.go) A new discharge, a corrected date and a hand-over begin a new schedule. What fired and proved
//     untrue is withdrawn.
//  12. How far is it? (progress.go) Picked up, met.
//
// Rules 2 to 8 are [Decide]'s ruling: they know no history, so order cannot hurt them. Rules 10 to 12 set it against what people and
// time have done, which is recorded.
//
// # Using it
//
//	task = pickup.Decide(place, &task, pickup.Inputs{Assessment: &snapshot}, now) // a snapshot came
//	task, err = task.Take(worker, now)                                           // a person acts
//	task, fired := pickup.Fire(place, task, now)                                 // its next deadline has come
//	at, ok := pickup.NextDeadline(place, task)                                   // store it beside the task, indexed
//
// After each of the first three, store the task and its next deadline in one transaction. One that is past is the sweeper's next work.
//
// # Changing a rule
//
// What a council may choose is data: see the policy and thresholds in package places. What is left is here, in the file named after
// the rule. testdata/outcomes.golden lists what every combination of facts comes to; after a change, regenerate it with
// UPDATE_GOLDEN=1 and read the difference as the person who must explain it to a family.
package pickup
