package sim

import (
	"fmt"
	"time"
)

// Report is what a run came to.
type Report struct {
	Err       error  // the first violation
	Trace     string // hash of everything that happened
	Events    int
	Entries   int
	Plans     int
	Instances int // of the plans that were there at the end
	Processes int // instance runs: attempts whose process started
	Calm      int // of them, those that started when faults were over
	Leaders   int
	Lost      int // attempts whose lease ended without a result
	Took      time.Duration
	Faults    tally

	Operations int
	Edits      int
	Autos      int // dates of the schedule
	Yields     int
	Expired    int // plans
	Outages    int // of all coordinators
	Holds      int // pauses and stops acknowledged
	Receipts   int // looked at, hour by hour

	Drains   int // of agents, by a person
	Drained  int // attempts that ended by one
	Goodbyes int // of agents
	Reboots  int // of their machines
	Departed int // agents forgotten

	Heavy    int // leases of several slots
	Labelled int // of nodes that require labels
	Skipped  int // attempts that had nothing to do

	Ahead     int // leases granted ahead
	Queued    int // attempts that waited at their keeper for a slot
	Recalled  int // of them, by the leader
	GivenBack int // of them, also because they waited for too long
}

// add adds another run's numbers.
func (r *Report) add(o Report) {
	r.Took += o.Took
	for i, n := range o.Faults {
		r.Faults[i] += n
	}
	from := o.numbers()
	for i, n := range r.numbers() {
		*n += *from[i]
	}
}

// numbers are all that add up.
func (r *Report) numbers() []*int {
	return []*int{
		&r.Events, &r.Entries, &r.Plans, &r.Instances, &r.Processes, &r.Calm, &r.Leaders, &r.Lost, &r.Operations, &r.Edits, &r.Autos, &r.Yields,
		&r.Expired, &r.Outages, &r.Holds, &r.Receipts, &r.Drains, &r.Drained, &r.Goodbyes, &r.Reboots, &r.Departed, &r.Heavy, &r.Labelled, &r.Skipped,
		&r.Ahead, &r.Queued, &r.Recalled, &r.GivenBack,
	}
}

func (r Report) String() string {
	return fmt.Sprintf("%s of their time, %d events, %d entries, %d leaders, %d outages; %d backfills, %d dates of the schedule, %d processes (%d when all was calm), "+
		"%d leases lost, %d yielded; %d operations, %d edits, %d pauses and stops held, %d plans forgotten, %d receipts; "+
		"%d granted ahead, %d waited at their keeper, %d recalled, %d given back; "+
		"%d agents drained, %d attempts by it, %d goodbyes, %d machines restarted, %d agents forgotten; %d leases of several slots, %d with labels, "+
		"%d attempts with nothing to do; %s",
		r.Took.Round(time.Minute), r.Events, r.Entries, r.Leaders, r.Outages, r.Plans, r.Autos, r.Processes, r.Calm,
		r.Lost, r.Yields, r.Operations, r.Edits, r.Holds, r.Expired, r.Receipts, r.Ahead, r.Queued, r.Recalled, r.GivenBack,
		r.Drains, r.Drained, r.Goodbyes, r.Reboots, r.Departed, r.Heavy, r.Labelled, r.Skipped, r.Faults)
}
