package state

// Status is what the facts say of an instance, one byte each. Why a waiting
// one waits is not stored: it follows from the facts (RULES R8).
type Status uint8

// The numbers stand in snapshots and are never reused.
const (
	Pending      Status = iota // never started
	Running                    // leased to an agent
	Succeeded                  //
	DryRun                     // succeeded without running (RULES R6)
	SetToSuccess               // by a person (RULES R9)
	Failed                     //
	Stopped                    // failed because somebody stopped it
	Frozen                     // by a person, or with its node's mode (RULES R6)
	Retrying                   // failed, and waits to be tried again (RULES R9)
	Again                      // has run and waits to run again: asked for, lost or yielded
	Missed                     // frozen, and could have started meanwhile (RULES R9, unfreeze)
	nStatus
)

// Statuses is a set of them.
type Statuses uint16

// With is the set and one more.
func (in Statuses) With(s Status) Statuses { return in | 1<<s }

// Has says whether a status is in the set.
func (in Statuses) Has(s Status) bool { return in>>s&1 != 0 }

// Success says whether what is downstream may go on.
func (s Status) Success() bool { return s == Succeeded || s == DryRun || s == SetToSuccess }

// Waits says whether the instance may still start by itself.
func (s Status) Waits() bool { return s == Pending || s == Retrying || s == Again }

// Failure says whether the instance ended without success.
func (s Status) Failure() bool { return s == Failed || s == Stopped }

// Frozen says whether somebody must unfreeze the instance before it goes on.
func (s Status) Frozen() bool { return s == Frozen || s == Missed }

// Counts is how many instances have each status. Pending is not counted: it is
// what remains of the whole, so that a new plan needs no counters.
type Counts [nStatus]uint32

// Success is the number of instances that succeeded in any way.
func (c *Counts) Success() uint64 {
	return uint64(c[Succeeded]) + uint64(c[DryRun]) + uint64(c[SetToSuccess])
}

// Frozen is the number of instances that somebody must unfreeze.
func (c *Counts) Frozen() uint64 { return uint64(c[Frozen]) + uint64(c[Missed]) }

// Started is the number of instances that are not Pending.
func (c *Counts) Started() uint64 {
	var n uint64
	for _, k := range c[Running:] {
		n += uint64(k)
	}
	return n
}
