package server

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"backfleet/pkg/fault"
)

// buckets count events by key, so many a second after so many at once. They
// remember a bounded number of keys: those that were not used for long have what
// they began with again.
type buckets struct {
	each  rate.Limit
	burst int
	what  string // that is too much, in words

	mu           sync.Mutex
	newer, older map[string]*rate.Limiter
}

// mostBuckets is how many keys of one generation are remembered.
const mostBuckets = 8192

// newBuckets makes buckets; without a limit they let everything through.
func newBuckets(perSecond float64, burst int, what string) *buckets {
	b := &buckets{each: rate.Limit(perSecond), burst: burst, what: what, newer: map[string]*rate.Limiter{}}
	if perSecond <= 0 {
		b.each = rate.Inf
	}
	return b
}

func (b *buckets) of(key string) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, ok := b.newer[key]
	if ok {
		return l
	}
	if l, ok = b.older[key]; !ok {
		l = rate.NewLimiter(b.each, b.burst)
	}
	if len(b.newer) >= mostBuckets {
		b.older, b.newer = b.newer, map[string]*rate.Limiter{}
	}
	b.newer[key] = l
	return l
}

// take counts one event; an error says that it is too much.
func (b *buckets) take(key string) error {
	if b.each == rate.Inf || b.of(key).Allow() {
		return nil
	}
	return b.err()
}

// admits says whether one more event would be too much, without counting it.
func (b *buckets) admits(from string) error {
	if b.each == rate.Inf || b.of(network(from)).TokensAt(time.Now()) >= 1 {
		return nil
	}
	return b.err()
}

// count counts an event that happened.
func (b *buckets) count(from string) {
	if b.each != rate.Inf {
		b.of(network(from)).Allow()
	}
}

// after is how many seconds who was refused should wait.
func (b *buckets) after() int { return int(math.Max(1, math.Ceil(1/float64(b.each)))) }

func (b *buckets) err() error {
	return fault.New(fault.Overloaded, "%s: nothing was done; wait %d s", b.what, b.after())
}
