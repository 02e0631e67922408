package runner

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// diskBytes bounds what waits for the disk, but for the last block of each
	// log.
	diskBytes = 4 << 20
	// spareBlocks and spareBytes bound what is kept of blocks for the next ones.
	spareBlocks, spareBytes = 16, 256 << 10
	// settleFor is how long what is on its way to the disk is waited for when
	// the runner ends or is handed over.
	settleFor = 5 * time.Second
)

// disk writes logs on a goroutine of its own: a disk that hangs must not stop
// the thread on which all processes depend.
type disk struct {
	room func()        // told when there is room again after somebody was refused
	done chan struct{} // closed when it has stopped

	mu      sync.Mutex
	news    sync.Cond // there is something to do
	queue   []job
	bytes   int // of the queue, and of what is being written
	refused bool
	stopped bool
	spare   [][]byte
}

type job struct {
	bytes int
	do    func()
}

func newDisk(room func()) *disk {
	d := &disk{room: room, done: make(chan struct{})}
	d.news.L = &d.mu
	return d
}

func (d *disk) run() {
	defer close(d.done)
	for jobs := d.next(); len(jobs) > 0; jobs = d.next() {
		for _, j := range jobs {
			j.do()
			d.finished(j.bytes)
		}
	}
}

// next waits for work; none: it is to stop.
func (d *disk) next() []job {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.queue) == 0 && !d.stopped {
		d.news.Wait()
	}
	jobs := d.queue
	d.queue = nil
	return jobs
}

func (d *disk) finished(bytes int) {
	d.mu.Lock()
	d.bytes -= bytes
	tell := d.refused && d.bytes <= diskBytes/2
	if tell {
		d.refused = false
	}
	d.mu.Unlock()
	if tell {
		d.room()
	}
}

// put has something done, after all that was put before. It refuses what there
// is no room for, unless it must be.
func (d *disk) put(bytes int, must bool, do func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !must && d.bytes > 0 && d.bytes+bytes > diskBytes {
		d.refused = true
		return false
	}
	d.bytes += bytes
	d.queue = append(d.queue, job{bytes, do})
	d.news.Signal()
	return true
}

// block gives room for a block, and recycle takes it back.
func (d *disk) block() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	last := len(d.spare) - 1
	if last < 0 {
		return nil
	}
	b := d.spare[last]
	d.spare = d.spare[:last]
	return b
}

func (d *disk) recycle(b []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.spare) < spareBlocks && cap(b) <= spareBytes {
		d.spare = append(d.spare, b[:0])
	}
}

// settle waits until all that was put is done; false: it was not in time.
func (d *disk) settle() bool {
	done := make(chan struct{})
	d.put(0, true, func() { close(done) })
	return within(done)
}

// stop ends it when all is done, and waits for that.
func (d *disk) stop() {
	d.mu.Lock()
	d.stopped, d.refused = true, false
	d.news.Signal()
	d.mu.Unlock()
	within(d.done)
}

func within(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-time.After(settleFor):
		return false
	}
}

// hand has the disk write what a process's log has in memory; false: it has no
// room.
func (r *Runner) hand(p *Process) bool {
	files, events := p.log.files, p.events
	lost, block, since := p.log.lost, p.log.block, p.log.since
	ok := r.disk.put(len(block), false, func() {
		before := files.written
		files.put(lost, block, since)
		r.disk.recycle(block)
		if files.written != before {
			events.Grew(uint64(files.written))
		}
	})
	if ok {
		p.log.handed(r.disk.block())
		p.hasty = false
	}
	return ok
}

// last has the disk write the end of a log, and tells of the process's then.
func (r *Runner) last(p *Process, events Events, exit Exit) {
	files := p.log.files
	lost, block, since := p.log.lost, p.log.block, p.log.since
	p.log.handed(nil)
	r.disk.put(len(block), true, func() {
		files.put(lost, block, since)
		files.close(time.Now())
		exit.LogBytes = uint64(files.written)
		events.Exited(exit)
	})
}

// write moves a log's lines on to the disk. If that has no room, the process
// waits: its output is not read. When it has waited long enough, its lines are
// dropped until there is room.
func (r *Runner) write(p *Process, now time.Time) {
	switch {
	case len(p.log.block) == 0 || p.waits() || r.hand(p):
	case p.hasty:
		p.log.drop()
	default:
		p.giveUp = now.Add(r.config.BlockFor)
		r.blocked = append(r.blocked, p)
		r.listen(p, 0)
	}
	r.count(p, p.log.pending())
}

// waits tells whether the process waits for the disk.
func (p *Process) waits() bool { return !p.giveUp.IsZero() }

// unblock lets processes go on that wait for the disk: there is room, or they
// have waited long enough.
func (r *Runner) unblock(now time.Time) {
	for len(r.blocked) > 0 {
		p := r.blocked[0]
		if p.events != nil && !r.hand(p) { // without events, it has ended meanwhile
			if p.giveUp.After(now) {
				return
			}
			p.log.drop()
			p.hasty = true
		}
		r.blocked = r.blocked[1:]
		p.giveUp = time.Time{}
		if p.events == nil {
			continue
		}
		r.count(p, p.log.pending())
		r.listen(p, unix.EPOLLIN)
		if !p.closeAt.IsZero() {
			p.closeAt = now.Add(r.config.DrainFor) // its pipes were not read meanwhile; the next in line wait with it
		}
	}
}

// listen says whether a process's pipes are read. A pipe whose other end is
// closed is mentioned all the same, but only once.
func (r *Runner) listen(p *Process, events uint32) {
	if events == 0 {
		events = unix.EPOLLET
	}
	for _, fd := range p.pipes {
		if fd >= 0 { // it is in the set, so nothing can fail
			_ = unix.EpollCtl(r.epoll, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
		}
	}
}
