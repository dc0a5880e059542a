// Package failpoint names the places where a process can die, be refused, or not hear the answer, so that a test can make exactly that
// happen. A program that is built without the tag `failpoints` has none of it: Do is a call of its function, Bug is false, and the
// compiler leaves neither a name nor a branch behind.
//
// With the tag, the environment variable HOMEWARD_FAILPOINTS names a file of faults, one a line, that is read at every pass, so that
// faults are armed in a running process:
//
//	<point> <mode> <pass> [note]
//
//	crash-before   the process is killed before the operation
//	crash-after    the process is killed when the operation has taken effect
//	error          the operation is not done and fails
//	lost-reply     the operation is done, and fails all the same
//	delay          the operation is done two seconds late
//
// A fault fires once, at the nth pass since the process began or the file was last changed; one that needs the operation's effect, at the
// first one from there that succeeds. Before it does, its line is appended to `<file>.fired`; a line that stands there is spent, also for the process that comes after a crash. The note tells two faults that are
// otherwise the same apart.
//
// HOMEWARD_BUG names, with commas between them, the bugs that are planted in the code to see that the checkers find them.
package failpoint
