package logstore

import "sync"

// watchers wakes those who wait for more of a log.
type watchers struct {
	mu sync.Mutex
	of map[Key]map[chan struct{}]struct{}
}

// Subscribe returns a channel that gets a value after more of the log was
// kept here, or its end became known; several changes may share one. The
// function ends the subscription and must be called.
func (s *Store) Subscribe(key Key) (<-chan struct{}, func()) {
	w := &s.watch
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of[key] == nil {
		w.of[key] = map[chan struct{}]struct{}{}
	}
	w.of[key][ch] = struct{}{}
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.of[key], ch)
		if len(w.of[key]) == 0 {
			delete(w.of, key)
		}
	}
}

func (w *watchers) changed(key Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.of[key] {
		select {
		case ch <- struct{}{}:
		default: // a wake-up is waiting already
		}
	}
}
