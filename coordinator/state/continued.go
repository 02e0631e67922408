package state

// planGap is what Continued leaves between backfills known before and those after.
const planGap = 1000

// Continued is the same facts at a later index, for a cluster that goes on from a
// backup, or from one survivor: others may have written entries since that are not
// in it. Its indexes, which are fences, are above all that can have been granted
// (RULES R13.3), and no new backfill gets the number of one that people have seen.
func (s *State) Continued(index uint64) *State {
	next := *s
	next.index = index
	next.nextPlan = (s.nextPlan/planGap + 2) * planGap
	return &next
}
