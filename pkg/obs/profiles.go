package obs

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
)

// FlagProfiles is the command line's name for the address of StartProfiles.
const FlagProfiles = "--pprof"

// Profiles answers with Go's profiles of this process, below /debug/pprof/, to
// whoever asks.
func Profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// StartProfiles serves Go's profiles of this process at /debug/pprof/ of addr
// (host:port) until stop is called, which may be twice; an empty addr serves
// nothing. Profiles show what is in memory, tokens included, and have no
// protection of their own: anything but the loopback is fault.Denied.
func StartProfiles(addr string, logger *slog.Logger) (stop func(), err error) {
	if addr == "" {
		return func() {}, nil
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, fault.New(fault.Invalid, "%s %q: expected host:port, such as 127.0.0.1:6060", FlagProfiles, addr)
	}
	if !mtls.Loopback(addr) {
		return nil, fault.New(fault.Denied, "%s %s: other machines could reach it, and profiles show what is in memory; expected a loopback address, such as 127.0.0.1:6060", FlagProfiles, addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "%s %s: cannot be listened on; choose another port", FlagProfiles, addr)
	}
	s := &http.Server{Handler: Profiles(), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("the server of profiles ended", "error", err)
		}
	}()
	logger.Info("profiles are served", "address", "http://"+l.Addr().String()+"/debug/pprof/")
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if s.Shutdown(ctx) != nil { // a profile being taken
			_ = s.Close()
		}
		<-ended
	}, nil
}
