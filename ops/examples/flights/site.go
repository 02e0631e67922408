package flights

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"backfleet/pkg/calendar"
)

// site publishes the warehouse on the loopback and knows what it was asked for.
type site struct {
	server *http.Server
	url    string

	mu    sync.Mutex
	asked map[string]bool // paths
}

func publish(folder string) (*site, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &site{url: "http://" + l.Addr().String(), asked: map[string]bool{}}
	files := http.FileServer(http.Dir(folder))
	s.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked[r.URL.Path] = true
		s.mu.Unlock()
		files.ServeHTTP(w, r)
	})}
	go func() { _ = s.server.Serve(l) }() // until close
	return s, nil
}

func (s *site) close() error { return s.server.Close() }

// check says which days nobody asked for.
func (s *site) check(from, to calendar.Date) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for d := from; d <= to; d++ {
		if path := "/flights/ds=" + d.Compact() + "/flights.jsonl"; !s.asked[path] {
			errs = append(errs, fmt.Errorf("the site was never asked for %s", path))
		}
	}
	return errors.Join(errs...)
}
