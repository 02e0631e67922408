package server

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/klauspost/compress/gzhttp"

	"backfleet/api"
	"backfleet/api/login"
	"backfleet/pkg/fault"
)

// Options are what a Server is made of. Only Backend and Logger are required.
type Options struct {
	Backend Backend
	Logger  *slog.Logger

	// Tokens gives those of the coordinators' own file, as it is now. Login is the
	// provider at which people log in. With neither, everybody who can connect is an
	// admin under the name that they say.
	Tokens func() []Token
	Login  *login.Provider
	// OnlyLoopback refuses requests to names that are not this host's own.
	OnlyLoopback bool
	Cluster      string        // what its operators call the cluster; default "backfleet"
	SessionTime  time.Duration // how long a login lasts; default 12 h
	Recheck      time.Duration // of the rights of who follows a stream; default 10 s
	Rates        Rates
	// Metrics answers /metrics. Default: an empty page.
	Metrics http.Handler
	// Profiles serves Go's profiles of this process to admins, at /debug/pprof/.
	Profiles bool
	// Answered is told how long each request took, by operation of the contract
	// ("page": none of it), streams excepted. Default: nobody is told.
	Answered func(operation string, status int, took time.Duration)
	// Page answers every path that is not the API's. Default: not found.
	Page http.Handler
	// Transport reaches the leader. Default: http.DefaultTransport's settings.
	Transport http.RoundTripper

	Places         Places        // of requests at the same time
	MaxBody        int64         // bytes of a request, unpacked; default 64 MiB, as much as the log takes
	RequestTimeout time.Duration // of all that is not a stream; default 30 s
	WaitTimeout    time.Duration // for a read's index; default 10 s
	Heartbeat      time.Duration // of an idle stream; default 15 s
}

// Rates bound what one caller may ask. What is 0 has its default, what is
// negative has no limit.
type Rates struct {
	// CallsPerSecond of one token, after as many at once as ten seconds bring. What
	// relieves (Places.Relief) does not count. Default 200.
	CallsPerSecond int
	// LoginsPerMinute of one address that fail, by tokens that are none as well,
	// after as many at once. Default 60.
	LoginsPerMinute int
}

// Server answers HTTP requests. Use its Handler, or Start and Stop.
type Server struct {
	Options
	handler  http.Handler
	gates    *gates
	origins  *http.CrossOriginProtection
	callers  *buckets // by token
	failures *buckets // of proving who one is, by address
	recorder *recorder
	streams  context.Context // ends when the server stops: streams have no other end
	cancel   context.CancelFunc

	mu   sync.Mutex
	http *http.Server
	done chan struct{}
}

func init() { gin.SetMode(gin.ReleaseMode) } // gin prints its routes otherwise

// New makes a server; it does not listen yet.
func New(o Options) *Server {
	o.MaxBody = cmp.Or(o.MaxBody, 64<<20)
	o.RequestTimeout = cmp.Or(o.RequestTimeout, 30*time.Second)
	o.WaitTimeout = cmp.Or(o.WaitTimeout, 10*time.Second)
	o.Heartbeat = cmp.Or(o.Heartbeat, 15*time.Second)
	if o.Metrics == nil {
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/plain") })
	}
	if o.Answered == nil {
		o.Answered = func(string, int, time.Duration) {}
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	o.Cluster = cmp.Or(o.Cluster, "backfleet")
	o.SessionTime = cmp.Or(o.SessionTime, 12*time.Hour)
	o.Recheck = cmp.Or(o.Recheck, 10*time.Second)
	calls, logins := cmp.Or(o.Rates.CallsPerSecond, 200), cmp.Or(o.Rates.LoginsPerMinute, 60)
	s := &Server{
		Options: o, gates: newGates(o.Places), origins: http.NewCrossOriginProtection(),
		callers:  newBuckets(float64(calls), 10*calls, "this token asks too much"),
		failures: newBuckets(float64(logins)/60, logins, "too many attempts from your address did not prove who you are"),
	}
	s.recorder = newRecorder(o.Backend.RecordRefusals, func(err error) { o.Logger.Warn("the audit could not be told who was refused", "error", err) })
	s.streams, s.cancel = context.WithCancel(context.Background())
	s.handler = compress(s.routes())
	return s
}

func (s *Server) routes() http.Handler {
	e := gin.New()
	e.UseRawPath = true // a node's id may hold a slash, escaped
	e.HandleMethodNotAllowed = false
	e.Use(s.identify, s.recover, s.log)
	e.GET("/openapi.yaml", s.document("application/yaml", api.DescribedYAML))
	e.GET("/openapi.json", s.document("application/json", api.DescribedJSON))
	e.GET("/docs", s.document("text/html; charset=utf-8", docsPage))
	e.NoRoute(s.elsewhere)
	s.serveProfiles(e)
	e.GET("/metrics", s.authenticate, s.authorize, gin.WrapH(s.Metrics))
	e.GET(pathLogin, s.admitLogin, s.beginLogin)
	e.GET(pathCallback, s.admitLogin, s.forward, s.endLogin)
	guarded := e.Group("", s.authenticate, s.authorize, s.inquire, s.admit, s.receive, s.forward, s.settle, s.condition)
	RegisterHandlersWithOptions(guarded, handlers{s}, GinServerOptions{ErrorHandler: s.badParameter})
	return e
}

// elsewhere answers paths that the API does not have.
func (s *Server) elsewhere(c *gin.Context) {
	if s.Page != nil && !strings.HasPrefix(c.Request.URL.Path, "/v1/") {
		c.Status(http.StatusOK) // unless the page says otherwise
		s.Page.ServeHTTP(c.Writer, c.Request)
		return
	}
	s.fail(c, fault.New(fault.NotFound, "%s %s is not part of the API: see /openapi.yaml", c.Request.Method, c.Request.URL.Path))
}

// compress leaves streams alone: they are flushed event by event.
func compress(h http.Handler) http.Handler {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(1024), gzhttp.ContentTypes([]string{
		"application/json", "application/problem+json", "application/yaml", "text/plain", "text/html",
		"text/css", "text/javascript", "image/svg+xml",
	}))
	if err != nil {
		panic(err) // constant options
	}
	return wrap(h)
}

// Handler is the whole API.
func (s *Server) Handler() http.Handler { return s.handler }

// Start serves on a listener, which it then owns, until Stop. It returns at
// once.
func (s *Server) Start(l net.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil || s.streams.Err() != nil {
		return fault.New(fault.Conflict, "the HTTP server was started before: make a new one")
	}
	s.http = &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second, // bodies have a deadline of their own, in receive
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(s.Logger.Handler(), slog.LevelDebug),
	}
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.Logger.Error("the HTTP server stopped by itself", "error", err)
		}
	}()
	return nil
}

// Stop ends streams, lets requests finish until ctx ends, and closes. It may be
// called again.
func (s *Server) Stop(ctx context.Context) error {
	s.cancel()
	defer s.recorder.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil {
		return nil
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-s.done
	return err
}
