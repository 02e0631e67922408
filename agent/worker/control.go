package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"backfleet/agent/keeper"
	"backfleet/agent/session"
	"backfleet/agent/spool"
	"backfleet/pkg/fault"
)

// controlSocket is where the agent answers people on its host, by HTTP. Whoever
// may open it may drain the agent; that is the agent's user, and root.
const controlSocket = "agent.sock"

// Status is what an agent tells on its host.
type Status struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Pid     int    `json:"pid"`
	Binary  string `json:"binary"` // SHA-256 of the program
	Boot    string `json:"boot"`
	session.Status
	Logs spool.Backlog `json:"logs"`
}

// control answers on the socket.
type control struct {
	config  *Config
	session *session.Session
	logs    *spool.Spool
}

// listen opens the socket; serve answers on it until ctx ends.
func (c control) listen() (net.Listener, error) {
	path, release, err := keeper.SocketPath(c.config.DataDir, controlSocket)
	if err != nil {
		return nil, err
	}
	defer release()
	_ = os.Remove(path) // of one that died; the lock says that it did
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the agent cannot listen in its data folder")
	}
	listener.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close()
		return nil, fault.Wrap(err, fault.Internal, "the agent cannot close its socket to others")
	}
	return listener, nil
}

func (c control) serve(ctx context.Context, listener net.Listener, logger *slog.Logger) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		status, err := c.status(r.Context())
		answer(w, status, err)
	})
	mux.HandleFunc("POST /drain", func(w http.ResponseWriter, r *http.Request) {
		deadline := c.config.Drain.Deadline
		if text := r.FormValue("deadline"); text != "" {
			var err error
			if deadline, err = time.ParseDuration(text); err != nil || deadline < 0 {
				answer(w, nil, fault.Field("deadline", "expected a duration like 30m, found %q", text))
				return
			}
		}
		c.session.Drain(deadline)
		status, err := c.status(r.Context())
		answer(w, status, err)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(over)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
		_ = server.Shutdown(ctx) // who asked for the drain that is over now hears of it
		_ = server.Close()
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		logger.Error("the agent does not answer on its host any more", "error", err)
	}
	if !stop() {
		<-over
	}
}

// farewell bounds the answers that an agent still gives when it ends.
const farewell = time.Second

func (c control) status(ctx context.Context) (*Status, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	s, err := c.session.Status(ctx)
	if err != nil {
		return nil, err
	}
	return &Status{ID: c.config.ID, Version: c.config.Version, Pid: os.Getpid(), Binary: keeper.Binary(), Boot: c.config.Boot,
		Status: s, Logs: c.logs.Backlog()}, nil
}

// answerWithin bounds an answer: a loop that takes longer hangs.
const answerWithin = 5 * time.Second

func answer(w http.ResponseWriter, status *Status, err error) {
	if err != nil {
		http.Error(w, err.Error(), fault.HTTPStatus(fault.CodeOf(err)))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(status)
}

// AskStatus asks the agent of a data folder how it is.
func AskStatus(ctx context.Context, dir string) (*Status, error) {
	return ask(ctx, dir, http.MethodGet, "/status")
}

// AskDrain has the agent of a data folder take nothing new, finish what runs,
// and end. The deadline is as in Config.Drain, and that one when empty.
func AskDrain(ctx context.Context, dir, deadline string) (*Status, error) {
	return ask(ctx, dir, http.MethodPost, "/drain?deadline="+deadline)
}

func ask(ctx context.Context, dir, method, path string) (*Status, error) {
	client := &http.Client{Timeout: 2 * answerWithin, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			path, release, err := keeper.SocketPath(dir, controlSocket)
			if err != nil {
				return nil, err
			}
			defer release()
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, nil)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the agent cannot be asked")
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fault.Wrap(errors.Unwrap(err), fault.Unavailable, "no agent answers for the data folder %s: is it running, and are you its user or root?", dir)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the agent's answer broke off")
	}
	if response.StatusCode != http.StatusOK {
		code := fault.Unavailable
		if response.StatusCode == http.StatusBadRequest {
			code = fault.Invalid
		}
		return nil, fault.New(code, "%s", bytes.TrimSpace(body))
	}
	status := &Status{}
	if err := json.Unmarshal(body, status); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the agent's answer cannot be read")
	}
	return status, nil
}
