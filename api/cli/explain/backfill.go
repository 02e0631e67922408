package explain

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "backfleet/api/v1"
)

// Held is one cause that holds a backfill.
type Held struct {
	Text      string   `json:"text"`
	Holds     int64    `json:"holds"` // instances
	Instances []string `json:"instances,omitempty"`
	Dates     []string `json:"dates,omitempty"` // that stand at it
	Do        string   `json:"do,omitempty"`
	urgency   int
}

// Holding is what is told of a backfill.
type Holding struct {
	Sentence string  `json:"sentence"`
	Causes   []*Held `json:"causes"` // most important first
}

// Backfill explains what holds a backfill: it looks at what failed and is
// frozen, and follows the first instances of each group that wait.
func Backfill(ctx context.Context, s Source, id string, o Options) (*Holding, error) {
	b, err := s.Backfill(ctx, id)
	if err != nil {
		return nil, err
	}
	h := &holding{walker: newWalker(s, o), backfill: b, causes: map[string]*Held{}}
	for _, step := range []func(context.Context) error{h.whole, h.failures, h.frozen, h.fronts} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	out := &Holding{Causes: h.order}
	slices.SortStableFunc(out.Causes, func(x, y *Held) int {
		return cmp.Or(cmp.Compare(x.urgency, y.urgency), cmp.Compare(y.Holds, x.Holds))
	})
	out.Sentence = h.sentence(out.Causes)
	return out, nil
}

type holding struct {
	*walker
	backfill *v1.Backfill
	causes   map[string]*Held
	order    []*Held
}

// at finds a cause by what makes it one.
func (h *holding) at(key string, c Held) *Held {
	if known := h.causes[key]; known != nil {
		return known
	}
	h.causes[key] = &c
	h.order = append(h.order, &c)
	return &c
}

func (h *holding) waits() int64 {
	c := h.backfill.Summary.Counts
	return c.NotRunning + c.WaitingTime
}

// whole is what holds the backfill as a whole.
func (h *holding) whole(context.Context) error {
	s := h.backfill.Summary
	resume := "backfleet backfill resume " + s.ID
	switch {
	case h.waits() == 0:
	case s.Stopped:
		h.at("whole", Held{Text: "it is stopped", Holds: h.waits(), Do: resume, urgency: 1})
	case s.Paused:
		h.at("whole", Held{Text: "it is paused", Holds: h.waits(), Do: resume, urgency: 1})
	case s.Halted:
		h.at("whole", Held{Text: fmt.Sprintf("it was to stop after %d failures", h.backfill.Request.StopAfter), Holds: h.waits(),
			Do: fmt.Sprintf("backfleet backfill rerun %s --failed; then %s", s.ID, resume), urgency: 1})
	}
	return nil
}

const sample = 5 // instances that are named of each cause

// add counts an instance for a cause.
func (h *Held) add(i v1.Instance) {
	h.Holds++
	if len(h.Instances) < sample {
		h.Instances = append(h.Instances, i.ID)
	}
	if !slices.Contains(h.Dates, i.Date) && len(h.Dates) < sample {
		h.Dates = append(h.Dates, i.Date)
	}
}

// failures groups what failed by node and cause.
func (h *holding) failures(ctx context.Context) error {
	s := h.backfill.Summary
	if s.Counts.Failed == 0 || !h.spend() {
		return nil
	}
	list, more, err := h.source.Instances(ctx, Filter{Backfill: s.ID, States: []v1.State{v1.StateFailed}, Limit: 1000})
	if err != nil {
		return err
	}
	for _, i := range list {
		cause := cmp.Or(i.Cause, "no cause is known")
		c := h.at(failedKey(i), Held{Text: fmt.Sprintf("%s failed: %s", i.Node, cause), urgency: 0,
			Do: fmt.Sprintf("backfleet instance explain %s; then backfleet backfill rerun %s --failed", i.ID, s.ID)})
		c.add(i)
	}
	if left := s.Counts.Failed - int64(len(list)); more && left > 0 {
		h.at("failed", Held{Text: "others failed", Holds: left, Do: fmt.Sprintf("backfleet instance list %s --state failed", s.ID)})
	}
	return nil
}

func (h *holding) frozen(ctx context.Context) error {
	s := h.backfill.Summary
	if s.Counts.Frozen == 0 || !h.spend() {
		return nil
	}
	list, _, err := h.source.Instances(ctx, Filter{Backfill: s.ID, States: []v1.State{v1.StateFrozen}, Limit: sample})
	if err != nil {
		return err
	}
	c := h.at("frozen", Held{Text: "frozen", Do: "backfleet backfill unfreeze " + s.ID, urgency: 2})
	for _, i := range list {
		c.add(i)
	}
	c.Holds = s.Counts.Frozen
	if len(list) > 0 && h.spend() {
		if d, err := h.source.Instance(ctx, list[0].ID); err == nil && d.Reason != nil {
			c.Text = d.Reason.Text
		}
	}
	return nil
}

// fronts follows, of each group, the first that wait at its first date that is
// not done; what holds these holds the group.
func (h *holding) fronts(ctx context.Context) error {
	s := h.backfill.Summary
	if s.Paused || s.Stopped || s.Halted {
		return nil
	}
	for _, g := range h.backfill.Groups {
		waits := g.Counts.NotRunning + g.Counts.WaitingTime
		if waits == 0 || g.Current == "" || !h.spend() {
			continue
		}
		list, _, err := h.source.Instances(ctx, Filter{Backfill: s.ID, From: g.Current, To: g.Current, Limit: 100,
			States: []v1.State{v1.StateRunning, v1.StateWaitingTime, v1.StateNotRunning}})
		if err != nil {
			return err
		}
		if err := h.front(ctx, g, list, waits); err != nil {
			return err
		}
	}
	return nil
}

// front names the causes of one group, each once.
func (h *holding) front(ctx context.Context, g v1.GroupProgress, list []v1.Instance, waits int64) error {
	told := map[string]bool{}
	for k, i := range list {
		if k == sample {
			break
		}
		if i.State == v1.StateRunning {
			c := h.at("running\x00"+i.Node, Held{Text: i.Node + " runs", urgency: 6})
			if !told[c.Text] {
				told[c.Text] = true
				c.note(i.ID, g.Current, waits)
			}
			continue
		}
		h.seen = map[string]bool{} // each is followed for itself; what was read stays
		root, err := h.instance(ctx, i, 0)
		if err != nil {
			return err
		}
		for _, leaf := range leaves(root) {
			c := h.leaf(leaf)
			if c == nil || told[c.Text] {
				continue
			}
			told[c.Text] = true
			if c == h.causes["frozen"] || c.urgency == 0 && strings.HasPrefix(leaf.Instance, h.backfill.Summary.ID+".") { // its instances are told
				c.Holds += waits
				continue
			}
			c.note(cmp.Or(leaf.Instance, i.ID), g.Current, waits)
		}
	}
	return nil
}

// note says that a group stands at the cause.
func (h *Held) note(id, date string, waits int64) {
	h.Holds += waits
	if !slices.Contains(h.Instances, id) && len(h.Instances) < sample {
		h.Instances = append(h.Instances, id)
	}
	if !slices.Contains(h.Dates, date) && len(h.Dates) < sample {
		h.Dates = append(h.Dates, date)
	}
}

func failedKey(i v1.Instance) string { return "failed\x00" + i.Node + "\x00" + i.Cause }

// leaf is the cause that a root cause belongs to; nil for one that was not
// followed to its end.
func (h *holding) leaf(c *Cause) *Held {
	own := strings.HasPrefix(c.Instance, h.backfill.Summary.ID+".")
	switch {
	case c.Cut:
		return nil
	case own && c.State == v1.StateFailed:
		return h.causes[failedKey(h.instances[c.Instance].Instance)]
	case own && c.State == v1.StateFrozen:
		return h.causes["frozen"]
	case c.State == v1.StateRunning && c.Code == "" && own:
		return h.at("running\x00"+c.Node, Held{Text: c.Node + " runs", urgency: 6})
	case c.State == v1.StateFailed || c.State == v1.StateRunning:
		return h.at("other\x00"+c.Instance, Held{Text: fmt.Sprintf("%s (%s of %s) %s", c.Instance, c.Node, c.Date, c.Text), Do: c.Do, urgency: urgency(c)})
	default:
		return h.at("leaf\x00"+c.Text, Held{Text: c.Text, Do: c.Do, urgency: urgency(c)})
	}
}

func (h *holding) sentence(causes []*Held) string {
	s := h.backfill.Summary
	name := fmt.Sprintf("%s (%s)", s.ID, s.Name)
	c := s.Counts
	switch {
	case c.Succeeded == c.Total:
		return fmt.Sprintf("%s is done: %d of %d instances succeeded.", name, c.Succeeded, c.Total)
	case len(causes) == 0 && c.Running > 0:
		return fmt.Sprintf("%s goes on: %d of %d instances succeeded, %d run.", name, c.Succeeded, c.Total, c.Running)
	case len(causes) == 0:
		return fmt.Sprintf("%s is about to go on: %d of %d instances succeeded.", name, c.Succeeded, c.Total)
	case causes[0].urgency == 6:
		return fmt.Sprintf("%s goes on: %d of %d instances succeeded; %s.", name, c.Succeeded, c.Total, causes[0].Text)
	}
	verb := "is held"
	if !s.Quiet {
		verb = "is held in part"
	}
	return fmt.Sprintf("%s %s: %s.", name, verb, causes[0].Text)
}
