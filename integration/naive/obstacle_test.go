package naive

import (
	"fmt"
	"slices"

	"backfleet/pkg/wire"
)

// R4, R5, R6: what keeps a row from starting.

// obstacle is one thing in the way, and the rows that it is about.
type obstacle struct {
	kind string
	on   []*row
}

// The kinds of obstacles, by what becomes of them.
const (
	ended    = "it runs or has ended"
	iced     = "frozen"
	held     = "its plan is stopped, paused or halted"
	gate     = "gate"
	upstream = "upstream"
	away     = "a cycle outside its plan"
	later    = "retry"
	early    = "due"
	shut     = "window"
	overlap  = "overlap"
	conflict = "conflict"
)

func (w *world) obstacles(r *row) []obstacle {
	o, done := w.found[r]
	if !done {
		o = w.look(r)
		w.found[r] = o
	}
	return o
}

func (w *world) look(r *row) []obstacle {
	if !r.status.waits() && !r.status.ice() {
		return []obstacle{{kind: ended}}
	}
	var out []obstacle
	add := func(is bool, kind string, on ...*row) {
		if is {
			out = append(out, obstacle{kind, on})
		}
	}
	add(r.status.ice(), iced)
	add(r.p.holds(r), held)
	if !r.forced {
		out = append(out, w.dependencies(r)...)
		add(r.status == retrying && r.retryAt > w.now, later)
		add(r.due() > w.now, early)
		add(!r.isDry() && !r.p.open(w.now), shut)
	}
	if !r.isDry() {
		on := w.overlapping(r)
		add(len(on) > 0, overlap, on...)
		on = w.conflicting(r)
		add(len(on) > 0, conflict, on...)
	}
	return out
}

func has(list []obstacle, kinds ...string) bool {
	return slices.ContainsFunc(list, func(o obstacle) bool { return slices.Contains(kinds, o.kind) })
}

// only says whether nothing but some kinds is in the way.
func only(list []obstacle, kinds ...string) bool {
	return !slices.ContainsFunc(list, func(o obstacle) bool { return !slices.Contains(kinds, o.kind) })
}

// holds says whether the plan as a whole keeps a row from starting (RULES R9,
// R4.5).
func (p *program) holds(r *row) bool {
	if p.stopped {
		return !p.named[r]
	}
	return p.paused || p.halted
}

// dependencies are the gate and all that a row waits for, in its plan and
// outside (RULES R4.3, R5).
func (w *world) dependencies(r *row) (out []obstacle) {
	var bad []*row
	on := r.p.waits(r)
	if !r.p.opened[r.date] {
		bad = unfinished(on.behind)
	}
	if len(bad) > 0 {
		out = append(out, obstacle{gate, bad})
	}
	if bad = unfinished(on.own); len(bad) > 0 {
		out = append(out, obstacle{upstream, bad})
	}
	for _, n := range on.outside {
		if u := w.lacks(r.p, n); u != nil {
			out = append(out, obstacle{away, []*row{u}})
		}
	}
	return out
}

// waits remembers what a row waits for.
func (p *program) waits(r *row) waits {
	if p.waitsFor == nil {
		p.waitsFor = map[*row]waits{}
	}
	if _, done := p.waitsFor[r]; !done {
		group := p.group()
		own, outside := p.needs(r, group)
		p.waitsFor[r] = waits{own: own, outside: outside, behind: p.behind(r, group)}
	}
	return p.waitsFor[r]
}

func unfinished(rows []*row) (out []*row) {
	for _, r := range rows {
		if !r.status.good() {
			out = append(out, r)
		}
	}
	return out
}

// need is a cycle outside the plan that counts.
type need struct {
	day
	unix int64
}

// spec is a node as it was when the plan was made.
func (p *program) spec(node string) *wire.Node {
	if s := p.specs[node]; s != nil {
		return s
	}
	return p.outside[node]
}

// needs lists what a row waits for: rows of its plan, and cycles outside it.
func (p *program) needs(r *row, group map[int32]int) (own []*row, outside []need) {
	wait := func(u string, date int32, unix int64) {
		if o := p.find(u, date, unix); o != nil {
			own = append(own, o)
			return
		}
		outside = append(outside, need{day{u, date}, unix})
	}
	s := r.spec()
	for _, u := range s.Upstreams {
		switch {
		case r.removed[u.Node]:
		case u.Previous:
			for _, c := range p.previous(r, u.Node) {
				wait(u.Node, c.date, c.unix)
			}
		default:
			in, out := p.window(r, u)
			own, outside = append(own, in...), append(outside, out...)
		}
	}
	if s.DependsOnChildren {
		for _, id := range p.childrenOf(r.node) {
			if r.removed[id] || slices.ContainsFunc(s.Upstreams, func(u *wire.Upstream) bool { return u.Node == id }) {
				continue
			}
			for _, c := range p.previous(r, id) {
				wait(id, c.date, c.unix)
			}
		}
	}
	if s.DependsOnSelf && !r.removed[r.node] {
		if c, found := p.before(r); found {
			o := p.find(r.node, c.date, c.unix)
			if o != nil && group[o.date] == group[r.date] && (o.date == r.date || p.earlier(o.date, r.date)) {
				own = append(own, o)
			} else {
				outside = append(outside, c)
			}
		}
	}
	return own, outside
}

// earlier says whether one date of the plan comes before another.
func (p *program) earlier(a, b int32) bool {
	if p.req.Order == wire.Request_DESCENDING {
		return a > b
	}
	return a < b
}

func (p *program) find(node string, date int32, unix int64) *row {
	for _, o := range p.byDay[day{node, date}] {
		if o.unix == unix {
			return o
		}
	}
	return nil
}

// window is what a dependency on the same D, or on a window of dates, waits for
// (RULES R5.2, R5.3). Dates outside a backfill are not waited for; to the
// schedule its dates are one.
func (p *program) window(r *row, u *wire.Upstream) (own []*row, outside []need) {
	from, to := r.date, r.date
	if u.Window {
		from, to = r.date+u.From, r.date+u.To
		if u.FromMonthStart {
			from = r.date - int32(utcDay(r.date).Day()) + 1
		}
	}
	for d := from; d <= to; d++ {
		rows := p.byDay[day{u.Node, d}]
		switch {
		case d == r.date:
			own = append(own, p.sameDate(r, u.Node, rows)...)
		case len(rows) > 0 && p.specs[u.Node].DependsOnSelf:
			own = append(own, rows[len(rows)-1])
		case len(rows) > 0:
			own = append(own, rows...)
		case p.auto && p.spec(u.Node) != nil:
			all := cycles(p.spec(u.Node), p.zone, d, nil)
			if p.spec(u.Node).DependsOnSelf && len(all) > 0 {
				all = all[len(all)-1:]
			}
			for _, unix := range all {
				outside = append(outside, need{day{u.Node, d}, unix})
			}
		}
	}
	return own, outside
}

// sameDate applies RULES R5.2.
func (p *program) sameDate(r *row, node string, rows []*row) []*row {
	if len(rows) == 0 {
		return nil
	}
	u, mine := p.specs[node], r.spec()
	switch {
	case !several(u), !several(mine) && !u.DependsOnSelf:
		return rows
	case !several(mine):
		for _, o := range slices.Backward(rows) {
			if o.unix <= r.unix {
				return []*row{o}
			}
		}
		return rows
	}
	for _, unix := range slices.Backward(cycles(u, p.zone, r.date, nil)) {
		if unix <= r.unix {
			if o := p.find(node, r.date, unix); o != nil {
				return []*row{o}
			}
			return nil
		}
	}
	return nil
}

// previous lists the cycles of another node that come before a row (RULES R5.3).
// Unless both have several a day they are all those of the day before; the last
// stands for the others if they run one after another, and so does the last that
// the plan has.
func (p *program) previous(r *row, node string) (out []need) {
	u := p.spec(node)
	if u == nil {
		return nil
	}
	both := several(u) && several(r.spec())
	for _, unix := range slices.Backward(cycles(u, p.zone, r.date, nil)) {
		if both && unix < r.unix {
			return []need{{day{node, r.date}, unix}}
		}
	}
	yesterday := cycles(u, p.zone, r.date-1, nil)
	if len(yesterday) == 0 {
		return nil
	}
	last := yesterday[len(yesterday)-1]
	if both {
		return []need{{day{node, r.date - 1}, last}}
	}
	for _, unix := range yesterday {
		if !u.DependsOnSelf || unix == last {
			out = append(out, need{day{node, r.date - 1}, unix})
		}
	}
	if rows := p.byDay[day{node, r.date - 1}]; u.DependsOnSelf && len(rows) > 0 && rows[len(rows)-1].unix != last {
		out = append(out, need{day{node, r.date - 1}, rows[len(rows)-1].unix})
	}
	return out
}

// before is the cycle just before a row's in its node's schedule (RULES R5.5).
func (p *program) before(r *row) (c need, found bool) {
	for _, d := range []int32{r.date - 1, r.date} {
		for _, unix := range cycles(r.spec(), p.zone, d, nil) {
			if d < r.date || unix < r.unix {
				c, found = need{day{r.node, d}, unix}, true
			}
		}
	}
	return c, found
}

// elsewhere lists the rows of a cycle in other plans.
func (w *world) elsewhere(p *program, c need) (out []*row) {
	for _, q := range w.order {
		if q.id != p.id {
			if o := q.find(c.node, c.date, c.unix); o != nil {
				out = append(out, o)
			}
		}
	}
	return out
}

// lacks is the row outside a plan for which a cycle does not count as done; nil
// when it does (RULES R5.5 (b); for the schedule's plans the cycle's own auto
// instance, or what repaired it).
func (w *world) lacks(p *program, c need) *row {
	all := w.elsewhere(p, c)
	var newest, auto *row
	for _, o := range all {
		if o.p.auto {
			auto = o
		}
		if own := p.find(c.node, c.date, c.unix); own != nil && o.status.waits() && !o.p.auto && o.p.id > p.id && own.blocksLater() {
			continue // it goes after the plan's own (R5.8)
		}
		if (o.fence > 0 || o.status.good()) && (newest == nil || o.fence > newest.fence) {
			newest = o
		}
	}
	switch {
	case p.auto && (auto == nil || auto.status.good()):
		return nil
	case p.auto && auto.status != failed && auto.status != halt:
		return auto
	case p.auto && newest == nil:
		return auto
	case newest == nil || newest.status.good():
		return nil
	}
	return newest
}

// overlapping lists the rows of the same cycle that keep a row from running
// (RULES R5.8).
func (w *world) overlapping(r *row) (out []*row) {
	for _, o := range w.elsewhere(r.p, need{day{r.node, r.date}, r.unix}) {
		switch {
		case o.status == running && r.p.auto && o.p.req.OnConflict != wire.Request_ALLOW: // that is a conflict
		case o.status == running:
			out = append(out, o)
		case r.p.auto && !o.p.auto, o.p.id > r.p.id:
		case o.blocksLater():
			out = append(out, o)
		}
	}
	return out
}

// blocksLater says whether an unfinished row keeps its cycle from later plans:
// not when it runs nothing, or will not run unless somebody acts on its stopped
// plan.
func (r *row) blocksLater() bool {
	switch {
	case r.isDry():
		return false
	case r.status.waits():
		return !r.p.stopped || r.p.named[r]
	}
	return r.status == running || r.status.ice() && !r.p.auto // a node paused in the schedule may be run by hand
}

// overlaps names a cycle of a new plan that an unfinished plan has.
func (w *world) overlaps(p *program) error {
	for _, r := range p.rows {
		for _, o := range w.elsewhere(p, need{day{r.node, r.date}, r.unix}) {
			if !r.isDry() && !p.gone[r.date] && !p.left[r.node] && o.blocksLater() {
				return fmt.Errorf("%s overlaps with %s", r, o)
			}
		}
	}
	return nil
}

// conflicting lists the rows against which a row is held by RULES R5.6: of the
// schedule against a backfill's row, and the other way round.
func (w *world) conflicting(r *row) (out []*row) {
	if !r.p.auto && r.p.req.OnConflict == wire.Request_ALLOW {
		return nil
	}
	for _, q := range w.order {
		if q.auto == r.p.auto || !q.auto && q.req.OnConflict == wire.Request_ALLOW {
			continue
		}
		for _, o := range q.byNode[r.node] {
			switch {
			case o.isDry() && o.status != running:
			case o.status == running:
				out = append(out, o)
			case q.auto && w.ready(o) && w.fitsSomewhere(o):
				out = append(out, o)
			}
		}
	}
	return out
}

// ready says whether an auto row could start but for backfills of its node.
func (w *world) ready(a *row) bool {
	if !a.status.waits() || a.p.holds(a) || len(w.overlapping(a)) > 0 {
		return false
	}
	if a.forced {
		return true
	}
	return len(w.dependencies(a)) == 0 && (a.status != retrying || a.retryAt <= w.now) && a.due() <= w.now && a.p.open(w.now)
}

// yields lists the running backfill rows that must make room (RULES R5.6), each
// with an auto row that it makes room for.
func (w *world) yielding() map[*row]*row {
	out := map[*row]*row{}
	for _, p := range w.order {
		for _, b := range p.rows {
			if p.auto || p.req.OnConflict != wire.Request_YIELD || b.status != running || b.wanted() || b.yields >= w.terms.yields {
				continue
			}
			for _, a := range w.autos(b.node) {
				if w.ready(a) && !a.isDry() && (w.fitsSomewhere(a) || w.wouldFit(a, b)) {
					out[b] = a
				}
			}
		}
	}
	return out
}

// autos lists the schedule's rows of a node.
func (w *world) autos(node string) (out []*row) {
	for _, q := range w.order {
		if q.auto {
			out = append(out, q.byNode[node]...)
		}
	}
	return out
}

// couldStart says whether a frozen row could start, given a slot, were it not
// frozen (RULES R9, unfreeze: due, gate open, upstreams succeeded).
func (w *world) couldStart(r *row) bool {
	return r.status == frozen && only(w.obstacles(r), iced, overlap, conflict)
}

// shown is the state that people see (RULES R8), where what waits at an agent
// counts as what runs: only who shows it tells it apart. Two where the rules
// leave the order of a conflict and a time open.
func (w *world) shown(r *row) []string {
	switch {
	case r.status == running:
		return []string{"Running"}
	case r.status.good():
		return []string{"Succeeded"}
	case r.status == failed || r.status == halt:
		return []string{"Run failed"}
	case r.status.ice():
		return []string{"Freeze"}
	}
	switch o := w.obstacles(r); {
	case len(o) == 0 || only(o, conflict, overlap):
		return []string{"Not Running"}
	case only(o, later, early, shut):
		return []string{"Waiting time"}
	case only(o, later, early, shut, overlap, conflict) && has(o, overlap, conflict):
		return []string{"Waiting time", "Not Running"}
	}
	return []string{"Not Running"}
}

// R4.5: what moves by itself.

// moving is every row of all plans that runs or will start without a person's
// act, if all that runs succeeds. strict: no date is opened before the one
// before it has succeeded.
func (w *world) moving(strict bool) map[*row]bool {
	out := map[*row]bool{}
	for more := true; more; {
		more = false
		for _, p := range w.order {
			for _, r := range p.rows {
				if !out[r] && w.moves(r, out, strict) {
					out[r], more = true, true
				}
			}
		}
	}
	return out
}

func (w *world) moves(r *row, moving map[*row]bool, strict bool) bool {
	if r.status == running {
		return true
	}
	for _, o := range w.obstacles(r) {
		switch o.kind {
		case ended, iced, held:
			return false
		case gate:
			if r.p.req.OnFailure == wire.Request_CONTINUE && !strict && !r.p.stopped {
				continue
			}
			fallthrough
		case upstream, away, overlap:
			if slices.ContainsFunc(o.on, func(u *row) bool { return !moving[u] }) {
				return false
			}
		}
	}
	return true
}

// mayOpen says whether a date may start although the one before it has not
// succeeded: when that one is quiet (RULES R4.5).
func (p *program) mayOpen(date int32, moving map[*row]bool) bool {
	for _, r := range p.rows {
		if r.date == date && slices.ContainsFunc(p.waits(r).behind, func(o *row) bool { return moving[o] && !o.status.good() }) {
			return false
		}
	}
	return true
}

// together is what may be shown of a date or a plan (RULES R8). exact: nothing
// moves by itself in the whole world. Otherwise the engine, which asks for one
// obstacle at a time, may still take for moving what is held by another.
func (w *world) together(rows []*row, moving map[*row]bool, exact bool) []string {
	n, surely, maybe, startable := map[string]int{}, 0, 0, false
	fresh := true
	for _, r := range rows {
		shown := w.shown(r)
		n[shown[0]]++
		if slices.Contains(shown, "Waiting time") {
			maybe++
			if len(shown) == 1 {
				surely++
			}
		}
		fresh = fresh && (r.status == pending || r.status.ice())
		startable = startable || r.status.waits() && moving[r]
	}
	still := "Not Running"
	switch {
	case n["Running"] > 0:
		return []string{"Running"}
	case n["Succeeded"] == len(rows):
		return []string{"Succeeded"}
	case fresh && surely > 0:
		return []string{"Waiting time"}
	case fresh && (n["Freeze"] == 0 || startable):
		still = "Not Running"
	case startable:
		return []string{"Running"}
	case n["Run failed"] > 0:
		still = "Run failed"
	case n["Freeze"] > 0:
		still = "Freeze"
	}
	out := []string{still}
	if fresh && maybe > 0 {
		out = append(out, "Waiting time")
	}
	if !exact && n["Not Running"]+n["Waiting time"] > 0 {
		out = append(out, map[bool]string{true: "Not Running", false: "Running"}[fresh])
	}
	return out
}

// previously says whether a row waits for another through previous cycles.
func (r *row) previously(o *row) bool {
	s := r.spec()
	return s.DependsOnChildren && isChild(o.spec(), r.node) || slices.ContainsFunc(s.Upstreams, func(u *wire.Upstream) bool { return u.Previous && u.Node == o.node })
}
