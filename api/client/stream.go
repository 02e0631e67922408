package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

const eventStream = "text/event-stream"

func asStream(_ context.Context, r *http.Request) error {
	r.Header.Set("Accept", eventStream)
	return nil
}

// errEnd ends a stream from inside.
var errEnd = errors.New("end of the stream")

// Follow hands over the lines of an attempt's log as it grows, and returns nil
// at its end. It goes on at another coordinator where one breaks off, without a
// gap or a repetition. p may be nil.
func (c *Client) Follow(ctx context.Context, instance string, p *v1.FollowLogParams, line func(v1.LogLines) error) error {
	var params v1.FollowLogParams
	if p != nil {
		params = *p
	}
	open := func(last string) (*http.Response, error) {
		params.LastEventID = last
		return c.api.FollowLog(ctx, instance, &params, asStream)
	}
	return c.t.follow(ctx, open, func(e event) error {
		var lines v1.LogLines
		if err := json.Unmarshal(e.data, &lines); err != nil {
			return fault.Wrap(err, fault.Internal, "an event of the log cannot be read")
		}
		params.Attempt = lines.Attempt // a retry meanwhile must not mix two logs
		if e.name == "end" {
			return errEnd
		}
		return line(lines)
	})
}

// Events hands over what happens, until ctx or handle ends it. After an event of
// type reset some were missed: read the state again. p may be nil.
func (c *Client) Events(ctx context.Context, p *v1.StreamEventsParams, handle func(v1.Event) error) error {
	var params v1.StreamEventsParams
	if p != nil {
		params = *p
	}
	open := func(last string) (*http.Response, error) {
		params.LastEventID = last
		return c.api.StreamEvents(ctx, &params, asStream)
	}
	return c.t.follow(ctx, open, func(e event) error {
		var what v1.Event
		if err := json.Unmarshal(e.data, &what); err != nil {
			return fault.Wrap(err, fault.Internal, "an event cannot be read")
		}
		return handle(what)
	})
}

// event is one server-sent event.
type event struct {
	name, id string
	data     []byte
}

// follow reads a stream and opens it again, from the last event, where it breaks.
func (t *transport) follow(ctx context.Context, open func(last string) (*http.Response, error), handle func(event) error) error {
	last, pause := "", t.Backoff
	for {
		response, err := open(last)
		if err != nil {
			return err // the transport has tried for as long as it may
		}
		err = t.events(response.Body, func(e event) error {
			pause = t.Backoff
			if e.id != "" {
				last = e.id
			}
			return handle(e)
		})
		response.Body.Close()
		var broken *brokenError
		switch {
		case errors.Is(err, errEnd):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.As(err, &broken) || !again(broken.err):
			return err
		}
		if t.OnRetry != nil {
			t.OnRetry(response.Request.URL.Host, broken.err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
			pause = min(2*pause, maxBackoff*t.Backoff)
		}
	}
}

// brokenError is the end of a stream that was not its handler's doing.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// events reads server-sent events until the body ends, or shows no sign of
// life for too long.
func (t *transport) events(body io.ReadCloser, handle func(event) error) error {
	idle := time.AfterFunc(t.IdleTimeout, func() { body.Close() })
	defer idle.Stop()
	lines := bufio.NewReader(body)
	var e event
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return &brokenError{fault.Wrap(err, fault.Unavailable, "the stream broke off")}
		}
		idle.Reset(t.IdleTimeout)
		line = strings.TrimRight(line, "\r\n")
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "" && e.data != nil:
			if err := t.dispatch(e, handle); err != nil {
				return err
			}
			e = event{}
		case name == "event":
			e.name = value
		case name == "id":
			e.id = value
		case name == "data":
			e.data = append(e.data, value...) // the server writes one line
		}
	}
}

func (t *transport) dispatch(e event, handle func(event) error) error {
	if e.name != "error" {
		return handle(e)
	}
	var p v1.Problem
	if err := json.Unmarshal(e.data, &p); err != nil {
		return fault.Wrap(err, fault.Internal, "an error of the stream cannot be read")
	}
	return &brokenError{convert.ReadProblem(p)}
}

// SaveSnapshot has a backup of the cluster's facts written as it comes. What breaks off
// is not begun again: ask anew, into an empty writer. See pkg/backup for what it is.
func (c *Client) SaveSnapshot(ctx context.Context, w io.Writer) error {
	response, err := c.api.SaveSnapshot(ctx, nil, asStream)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(w, response.Body); err != nil {
		return fault.Wrap(err, fault.Unavailable, "the backup broke off: ask for it again")
	}
	return nil
}

// RemoveServer takes a coordinator out of the cluster; force: also while fewer than
// a majority of the others can be reached.
func (c *Client) RemoveServer(ctx context.Context, id string, force bool, why string) (*v1.Removal, error) {
	return read[v1.Removal](c.api.RemoveServer(ctx, id, &v1.RemoveServerParams{Force: force, Why: why}))
}
