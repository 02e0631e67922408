package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Kind is what a client asked for.
type Kind string

// Operations of RULES R9, and reads. Those on instances name them.
const (
	Submit      Kind = "submit"
	Pause       Kind = "pause"
	Resume      Kind = "resume"
	Stop        Kind = "stop"
	RerunFailed Kind = "rerunFailed"
	Freeze      Kind = "freeze"
	Unfreeze    Kind = "unfreeze"

	StopSome     Kind = "stopInstances"
	RerunSome    Kind = "rerunInstances"
	SetToSuccess Kind = "setToSuccess"
	FreezeSome   Kind = "freezeInstances"
	UnfreezeSome Kind = "unfreezeInstances"

	// Other is an operation that neither holds nor ends anything: a forced start,
	// a priority, an upstream that is removed.
	Other Kind = "other"
	// Edit changes which instances a backfill has. The plan model does not follow it.
	Edit Kind = "edit"

	// ReadFlags tells whether a backfill is paused or stopped, ReadStates the state
	// of each instance, ReadTotals the counts of its receipt.
	ReadFlags  Kind = "readFlags"
	ReadStates Kind = "readStates"
	ReadTotals Kind = "readTotals"
)

func (k Kind) reads() bool { return k == ReadFlags || k == ReadStates || k == ReadTotals }

// Outcome is what the client knows of an operation.
type Outcome string

// A refused operation had no effect; an unknown one may have it at any time
// after its call, or never.
const (
	OK      Outcome = "ok"
	Refused Outcome = "refused"
	Unknown Outcome = "unknown"
)

// Level is a read's consistency.
type Level string

// As in the API.
const (
	Linearizable Level = "linearizable"
	Session      Level = "session"
	Stale        Level = "stale"
)

// Op is one operation of one client. Moments count from the history's start.
type Op struct {
	Client int           `json:"client"`
	Call   time.Duration `json:"call"`
	Return time.Duration `json:"return,omitempty"` // 0: there was no answer

	Kind      Kind   `json:"kind"`
	Name      string `json:"name,omitempty"`     // of the backfill; what is asked for by one request has one
	Backfill  string `json:"backfill,omitempty"` // its id
	Key       string `json:"key,omitempty"`      // idempotency key, and a word in the backfill's own log
	Instances []int  `json:"instances,omitempty"`
	Size      int    `json:"size,omitempty"`  // of a submission: how many instances it has
	Ahead     bool   `json:"ahead,omitempty"` // of a submission: its work may be granted ahead

	Level  Level  `json:"level,omitempty"`
	Server string `json:"server,omitempty"` // that answered, and which of its lives
	Min    uint64 `json:"min,omitempty"`    // of a session: the index the client had met

	Outcome Outcome `json:"outcome"`
	Code    string  `json:"code,omitempty"`
	Index   uint64  `json:"index,omitempty"` // of the answer; of a write that is the entry's, see Again
	// Again says that it was sent more than once: its answer may be that of a
	// repetition, and its effect in the log before that.
	Again bool `json:"again,omitempty"`

	Paused  bool   `json:"paused,omitempty"`
	Stopped bool   `json:"stopped,omitempty"`
	States  string `json:"states,omitempty"` // one letter for each instance
	Totals  Totals `json:"totals,omitzero"`
}

// Totals is a receipt.
type Totals struct {
	Generated int64 `json:"generated"`
	Succeeded int64 `json:"succeeded"`
	Set       int64 `json:"set"`
	DryRun    int64 `json:"dryRun"`
	Failed    int64 `json:"failed"`
	Stopped   int64 `json:"stopped"`
	Frozen    int64 `json:"frozen"`
	Running   int64 `json:"running"`
	Waiting   int64 `json:"waiting"`
}

// sum is what Generated must be (RULES R13.6).
func (t Totals) sum() int64 {
	return t.Succeeded + t.Set + t.DryRun + t.Failed + t.Stopped + t.Frozen + t.Running + t.Waiting
}

// Note is a line that an attempt wrote about itself.
type Note struct {
	At       time.Duration `json:"at"`
	Backfill string        `json:"backfill"`
	Instance int           `json:"instance"`
	Fence    uint64        `json:"fence"`
	End      bool          `json:"end,omitempty"`
	Killed   bool          `json:"killed,omitempty"` // an end that was no word of its own
	Status   int           `json:"status,omitempty"` // of an end
}

// Account is what a coordinator tells when all is over.
type Account struct {
	Server    string     `json:"server"`
	Index     uint64     `json:"index"`
	Backfills []Finished `json:"backfills"`
}

// Finished is a backfill as it stands in the end.
type Finished struct {
	ID       string      `json:"id"`
	Name     string      `json:"name"`
	States   string      `json:"states"`
	Totals   Totals      `json:"totals"`
	Log      []string    `json:"log"`      // keys of the operations, oldest first
	Attempts [][]Attempt `json:"attempts"` // by instance
}

// Attempt is one as it was recorded.
type Attempt struct {
	Number int    `json:"number"`
	Fence  uint64 `json:"fence"`
	State  string `json:"state"`
}

// History is one run of a fleet.
type History struct {
	Seed     uint64
	Ops      []Op
	Notes    []Note // in the order in which they were written
	Faults   []string
	Accounts []Account
	// Quiet says that nothing happened to agents: no attempt that has started may
	// be lost (RULES R13.5).
	Quiet bool
	// Exact says that a read is of the index that it tells, not of a newer one.
	Exact bool
	// Forgotten are backfills whose time was over (RULES R10.1).
	Forgotten []string
}

// line is one of a history's file: one field is set.
type line struct {
	Seed    *uint64  `json:"seed,omitempty"`
	Quiet   bool     `json:"quiet,omitempty"`
	Exact   bool     `json:"exact,omitempty"`
	Forgot  []string `json:"forgot,omitempty"`
	Op      *Op      `json:"op,omitempty"`
	Note    *Note    `json:"note,omitempty"`
	Fault   string   `json:"fault,omitempty"`
	Account *Account `json:"account,omitempty"`
}

// Write writes a history, a line of JSON for each thing that happened.
func (h *History) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	e := json.NewEncoder(b)
	errs := []error{e.Encode(line{Seed: &h.Seed, Quiet: h.Quiet, Exact: h.Exact, Forgot: h.Forgotten})}
	for i := range h.Ops {
		errs = append(errs, e.Encode(line{Op: &h.Ops[i]}))
	}
	for i := range h.Notes {
		errs = append(errs, e.Encode(line{Note: &h.Notes[i]}))
	}
	for _, f := range h.Faults {
		errs = append(errs, e.Encode(line{Fault: f}))
	}
	for i := range h.Accounts {
		errs = append(errs, e.Encode(line{Account: &h.Accounts[i]}))
	}
	return errors.Join(append(errs, b.Flush())...)
}

// Read reads what Write wrote.
func Read(r io.Reader) (*History, error) {
	h, d := &History{}, json.NewDecoder(r)
	d.DisallowUnknownFields()
	for n := 1; ; n++ {
		var l line
		switch err := d.Decode(&l); {
		case errors.Is(err, io.EOF):
			return h, nil
		case err != nil:
			return nil, fmt.Errorf("line %d of the history: %w", n, err)
		case l.Seed != nil:
			h.Seed, h.Quiet, h.Exact, h.Forgotten = *l.Seed, l.Quiet, l.Exact, l.Forgot
		case l.Op != nil:
			h.Ops = append(h.Ops, *l.Op)
		case l.Note != nil:
			h.Notes = append(h.Notes, *l.Note)
		case l.Account != nil:
			h.Accounts = append(h.Accounts, *l.Account)
		default:
			h.Faults = append(h.Faults, l.Fault)
		}
	}
}

// Recorder collects what happens side by side.
type Recorder struct {
	now func() time.Duration

	mu sync.Mutex
	h  History
}

// NewRecorder begins a history. now tells the time since its start, the same
// for all clients and processes.
func NewRecorder(seed uint64, now func() time.Duration) *Recorder {
	return &Recorder{now: now, h: History{Seed: seed}}
}

// Begin notes a call. What is known of its end is said with done, once; an
// operation without that has an unknown outcome.
func (r *Recorder) Begin(op Op) (done func(Op)) {
	op.Call, op.Outcome = r.now(), Unknown
	r.mu.Lock()
	defer r.mu.Unlock()
	i := len(r.h.Ops)
	r.h.Ops = append(r.h.Ops, op)
	return func(end Op) {
		end.Call = op.Call
		if end.Outcome != Unknown {
			end.Return = r.now()
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.h.Ops[i] = end
	}
}

// Note adds what an attempt said.
func (r *Recorder) Note(n Note) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Notes = append(r.h.Notes, n)
}

// Fault adds what was done to the fleet.
func (r *Recorder) Fault(format string, args ...any) {
	text := fmt.Sprintf("%s: ", r.now().Round(time.Millisecond)) + fmt.Sprintf(format, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Faults = append(r.h.Faults, text)
}

// Account adds what a coordinator tells in the end.
func (r *Recorder) Account(a Account) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Accounts = append(r.h.Accounts, a)
}

// History is what was recorded until now.
func (r *Recorder) History() *History {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.h
	h.Ops = append([]Op(nil), r.h.Ops...)
	return &h
}
