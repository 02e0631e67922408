package sim

import (
	"fmt"
	"strings"
	"time"
)

// fault is a kind of what goes wrong.
type fault uint8

const (
	netCut fault = iota
	coordinatorCrash
	coordinatorFreeze
	leaderChange
	streamBreak
	sessionFreeze
	sessionRestart
	keeperDeath
	machineRestart
	agentLeaves
	impostor
	allCoordinatorsGone
	allAgentsGone
	faultKinds
)

// tally counts faults that took effect, by kind.
type tally [faultKinds]int

var faultNames = [faultKinds]string{
	"networks cut in two", "coordinators crashed", "coordinators frozen", "leaderships handed over", "streams broken",
	"sessions frozen", "sessions ended", "keepers killed", "machines restarted", "agents left", "ids of agents taken by another machine",
	"outages of all coordinators", "outages of all agents",
}

func (t tally) byName() map[string]int {
	out := map[string]int{}
	for kind, n := range t {
		out[faultNames[kind]] = n
	}
	return out
}

func (t tally) String() string {
	var out []string
	for kind, n := range t {
		out = append(out, fmt.Sprint(n, " ", faultNames[kind]))
	}
	return strings.Join(out, ", ")
}

// plague schedules the faults of a run. How many of each kind there are is
// drawn too, so that some runs know only one kind and some all at once.
func (w *world) plague() {
	often := time.Second * w.slow
	if w.Days > 0 {
		often *= 10 // a few a day
		w.recur(1+w.rnd.IntN(3), 5*24*time.Hour, 20*24*time.Hour, w.outage)
		w.recur(w.rate(), 3*24*time.Hour, 20*24*time.Hour, w.idle)
	}
	w.recur(w.rate(), 3*often, 50*often, w.cut)
	w.recur(w.rate(), 4*often, 60*often, func() { pick(w, w.log.all).crash(w.spell()) })
	w.recur(w.rate(), 4*often, 60*often, func() { pick(w, w.log.all).freeze(w.spell()) })
	w.recur(w.rate(), 4*often, 60*often, w.log.transfer)
	w.recur(w.rate(), 2*often, 30*often, func() { pick(w, w.hosts).breakStream() })
	w.recur(w.rate(), 4*often, 60*often, func() { pick(w, w.hosts).freezeSession(w.spell()) })
	w.recur(w.rate(), 4*often, 60*often, func() { pick(w, w.hosts).restartSession(w.spell()) })
	w.recur(w.rate(), 10*often, 120*often, func() { pick(w, w.hosts).killKeeper() })
	w.recur(w.rate(), 20*often, 160*often, func() { pick(w, w.hosts).reboot(w.spell()) })
	w.recur(w.rate(), 10*often, 120*often, func() { pick(w, w.hosts).leave() })
}

// outage takes all coordinators down, for hours or days. It is shorter than the
// schedule catches up.
func (w *world) outage() {
	d := w.between(time.Hour, 12*time.Hour)
	if w.oneIn(2) {
		d = w.between(24*time.Hour, 6*24*time.Hour)
	}
	w.note("no coordinator for %s", d)
	w.report.Outages++
	w.report.Faults[allCoordinatorsGone]++
	for _, c := range w.log.all {
		c.restart()
		c.crash(d)
	}
}

// idle takes all agents away for a while.
func (w *world) idle() {
	d := w.between(time.Hour, 48*time.Hour)
	w.note("no agent for %s", d)
	w.report.Faults[allAgentsGone]++
	for _, h := range w.hosts {
		h.restartSession(d)
	}
}

// rate draws how often a fault of one kind strikes: 0 never, larger rarer.
func (w *world) rate() int { return w.rnd.IntN(4) }

// spell draws how long a fault lasts: mostly shorter than a lease.
func (w *world) spell() time.Duration {
	if w.oneIn(4) {
		return w.between(10*time.Second, 60*time.Second) * w.slow
	}
	return w.between(50*time.Millisecond, 8*time.Second) * w.slow
}

func (w *world) recur(rate int, from, to time.Duration, f func()) {
	if rate == 0 {
		return
	}
	w.after(w.between(from, to)*time.Duration(rate), func() {
		if !w.calm {
			f()
			w.recur(rate, from, to, f)
		}
	})
}

// cut splits the network in two for a while.
func (w *world) cut() {
	for _, c := range w.log.all {
		w.side[c.id] = w.rnd.IntN(2)
	}
	for _, h := range w.hosts {
		w.side[h.name] = w.rnd.IntN(2)
	}
	w.note("the network is cut: %v", w.side)
	w.report.Faults[netCut]++
	w.log.networkChanged()
	w.after(w.spell(), w.heal)
}

func (w *world) heal() {
	clear(w.side)
	w.note("the network is whole")
	w.log.networkChanged()
	for _, p := range w.pipes {
		p.pump()
	}
}

func (w *world) reach(a, b string) bool { return w.side[a] == w.side[b] }

// repair ends all faults.
func (w *world) repair() {
	w.note("repair")
	w.calm = true
	w.heal()
	for _, c := range w.log.all {
		c.restart()
		c.thaw()
	}
	for _, h := range w.hosts {
		h.repair()
	}
}

// pipe carries messages one way between two hosts, in order. A cut holds them
// back; a broken pipe loses them.
type pipe struct {
	w        *world
	from, to string
	queue    []parcel
	last     time.Duration
	broken   bool
}

type parcel struct {
	at      time.Duration
	deliver func()
}

func (w *world) newPipe(from, to string) *pipe {
	p := &pipe{w: w, from: from, to: to}
	kept := w.pipes[:0]
	for _, old := range w.pipes {
		if !old.broken {
			kept = append(kept, old)
		}
	}
	w.pipes = append(kept, p)
	return p
}

func (p *pipe) send(deliver func()) {
	p.last = max(p.last, p.w.now+p.w.delay())
	p.queue = append(p.queue, parcel{p.last, deliver})
	p.w.at(p.last, p.pump)
}

func (p *pipe) pump() {
	for len(p.queue) > 0 && !p.broken && p.queue[0].at <= p.w.now && p.w.reach(p.from, p.to) {
		d := p.queue[0].deliver
		p.queue = p.queue[1:]
		d()
	}
}
