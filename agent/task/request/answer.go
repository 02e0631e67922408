package request

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"backfleet/pkg/fault"
)

// answer is what came of one try; the zero value: none.
type answer struct {
	status int
	text   string        // "503 Service Unavailable"
	after  time.Duration // that the server asks to wait
}

// send makes one try, and shows the answer in the log.
func (s *sender) send(ctx context.Context) (a answer, err error) {
	timeout := cmp.Or(time.Duration(s.spec.TimeoutMs)*time.Millisecond, defaultTimeout)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := s.request(ctx)
	if err != nil {
		return a, err
	}
	begin := time.Now()
	response, err := s.client.Do(request)
	if err != nil {
		return a, s.explain(err, timeout)
	}
	defer response.Body.Close()
	a = answer{status: response.StatusCode, text: response.Status, after: retryAfter(response.Header.Get("Retry-After"), time.Now())}
	body, size, err := s.read(response.Body)
	s.out.Metrics.Set("status", a.status)
	s.out.Metrics.Set("bytes", size)
	s.out.Line("%s %s: %s, %d bytes in %s", s.method, response.Request.URL.Redacted(), a.text, size, time.Since(begin).Round(time.Millisecond))
	s.show(body, size)
	if err != nil {
		return a, s.explain(err, timeout)
	}
	return a, nil
}

// explain says what went wrong with a try. The client's own error repeats the URL.
func (s *sender) explain(err error, timeout time.Duration) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fault.New(fault.Timeout, "%s %s: no whole answer within %s (http.timeout)", s.method, s.shown, timeout)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fault.Wrap(err, fault.Unavailable, "%s %s", s.method, s.shown)
}

// read takes a body to its end, of which it keeps what is to be shown.
func (s *sender) read(body io.Reader) (begin []byte, size int64, err error) {
	begin, err = io.ReadAll(io.LimitReader(body, cmp.Or(s.spec.MaxResponseBytes, defaultShown)))
	if err != nil {
		return begin, int64(len(begin)), err
	}
	rest, err := io.Copy(io.Discard, body)
	return begin, int64(len(begin)) + rest, err
}

// show writes a body into the log.
func (s *sender) show(body []byte, size int64) {
	if len(body) == 0 {
		return
	}
	text := body
	for n := 0; n < utf8.UTFMax-1 && int64(len(body)) < size && !utf8.Valid(text); n++ {
		text = text[:len(text)-1] // a letter that was cut in two
	}
	if !utf8.Valid(text) || strings.ContainsRune(string(text), 0) {
		s.out.Line("(the body is no text, and not shown)")
		return
	}
	s.out.Line("%s", text)
	if more := size - int64(len(text)); more > 0 {
		s.out.Line("(%d bytes more; http.maxResponse is how many are shown)", more)
	}
}

// waiting waits, unless the task is stopped.
type waiting func(ctx context.Context, d time.Duration) error

func realWait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

const (
	// defaultBackoff is the pause before the second try.
	defaultBackoff = time.Second
	// mostPause is what doubling ends at, and the most that a server may ask for.
	mostPause = time.Hour
)

// pauseBefore is how long to wait after the n-th try, from 0: the backoff doubled
// n times, less up to half of it, so that those who failed together do not come
// back together; or as long as the server asks, if that is longer.
func pauseBefore(n int, backoff time.Duration, asked time.Duration) time.Duration {
	pause := min(cmp.Or(backoff, defaultBackoff), mostPause)
	for range n {
		pause = min(2*pause, mostPause)
	}
	return max(pause-rand.N(pause/2+1), asked)
}

// retryAfter is how long a server asks to wait; 0: it does not.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
