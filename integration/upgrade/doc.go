// Package upgrade rolls a cluster of real processes from one version of the binary
// to the next and back, while a backfill and the schedule run.
//
// The older one is built of this very source with the tag behaviour_former, which
// makes it know one version of the rules less (state.Newest). With FROM, a binary
// that was built from an earlier commit takes its place: make verify-upgrade.
package upgrade
