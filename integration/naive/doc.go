// Package naive says the rule book once more, in rows and loops, and holds the
// engine to it: random logs go to both, and after every step they must agree on
// what may start, what is settled without running and what is shown. The naive
// side shares no code with the engine but the messages of the log; it has tests
// only. DESIGN.md says how it is used and what it was tried against.
package naive
