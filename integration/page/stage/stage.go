// Package stage runs another command, the browser's tests, beside a real cluster:
//
//	go run ./integration/page [-coordinators 3] [-agents 2] -- npx playwright test
//
// The command finds in its environment BACKFLEET_SERVERS, the coordinators' URLs
// separated by commas; BACKFLEET_CONTROL, where it can kill and start them; GATES,
// a folder that nodes of tests look into; and BACKFLEET, the binary. With -page
// DIR it sees the page that was built there, in front of the same coordinators.
package stage

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"backfleet/api/web"
	"backfleet/ops/demo/fleet"
)

// Main runs the command with its arguments, and gives its exit status.
func Main(args []string) int {
	f := flag.NewFlagSet("page", flag.ContinueOnError)
	coordinators := f.Int("coordinators", 3, "how many coordinators")
	agents := f.Int("agents", 2, "how many agents")
	slots := f.Int("slots", 8, "of each agent")
	built := f.String("page", "", "folder of a built page to show instead of the coordinators' own")
	if f.Parse(args) != nil {
		return 2
	}
	if f.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "page: what is to be run? go run ./integration/page -- npx playwright test")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, fleet.Config{Coordinators: *coordinators, Agents: *agents, Slots: *slots}, *built, f.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "page:", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, config fleet.Config, built string, argv []string) (err error) {
	dir, err := os.MkdirTemp("", "page")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	config.Dir, config.Binary = dir, filepath.Join(dir, "backfleet")
	gates := filepath.Join(dir, "gates")
	if err := os.Mkdir(gates, 0o755); err != nil {
		return err
	}
	if err := fleet.Build(ctx, ".", config.Binary); err != nil {
		return err
	}
	begin, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	f, err := fleet.Start(begin, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Stop(context.WithoutCancel(ctx))) }()
	more := newcomers{fleet: f, config: config}
	defer func() { err = errors.Join(err, more.stop(context.WithoutCancel(ctx))) }()
	control, err := serve(controls(f, &more))
	if err != nil {
		return err
	}
	defer control.Close()
	servers := f.Servers
	if built != "" {
		if servers, err = front(os.DirFS(built), f.Servers); err != nil {
			return err
		}
	}

	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "BACKFLEET_SERVERS="+strings.Join(servers, ","), "BACKFLEET_CONTROL=http://"+control.Addr, "GATES="+gates, "BACKFLEET="+config.Binary)
	if err = cmd.Run(); err != nil {
		for _, p := range append(f.Coordinators, f.Agents...) {
			log, _ := os.ReadFile(p.Log)
			fmt.Fprintf(os.Stderr, "== the end of %s's log\n%s\n", p.Name, log[max(0, len(log)-2000):])
		}
		return fmt.Errorf("%s: %w", argv[0], err)
	}
	return nil
}

// front puts another page before each coordinator.
func front(dist fs.FS, servers []string) (fronts []string, err error) {
	page, err := web.Of(dist)
	if err != nil {
		return nil, err
	}
	for _, server := range servers {
		target, err := url.Parse(server)
		if err != nil {
			return nil, err
		}
		api := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
		mux := http.NewServeMux()
		mux.Handle("/", page)
		for _, path := range []string{"/v1/", "/login/", "/docs", "/openapi.json", "/openapi.yaml", "/healthz", "/readyz"} {
			mux.Handle(path, api)
		}
		s, err := serve(mux)
		if err != nil {
			return nil, err
		}
		fronts = append(fronts, "http://"+s.Addr)
	}
	return fronts, nil
}

// controls let tests kill and start members, as an operator's script would.
func controls(f *fleet.Fleet, more *newcomers) http.Handler {
	member := func(w http.ResponseWriter, r *http.Request, do func(*fleet.Process) error) {
		for _, p := range append(f.Coordinators, f.Agents...) {
			if p.Name == r.PathValue("name") {
				if err := do(p); err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
				}
				return
			}
		}
		http.NotFound(w, r)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /leader", func(w http.ResponseWriter, r *http.Request) {
		leader, err := f.Leader(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		for i, c := range f.Coordinators {
			if c == leader {
				_ = json.NewEncoder(w).Encode(map[string]string{"name": leader.Name, "server": f.Servers[i]})
			}
		}
	})
	mux.HandleFunc("POST /kill/{name}", func(w http.ResponseWriter, r *http.Request) { member(w, r, (*fleet.Process).Kill) })
	mux.HandleFunc("POST /start/{name}", func(w http.ResponseWriter, r *http.Request) { member(w, r, (*fleet.Process).Start) })
	mux.HandleFunc("POST /join/{name}", func(w http.ResponseWriter, r *http.Request) {
		if err := more.join(r.Context(), r.PathValue("name")); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return mux
}

// newcomers are coordinators that tests add to the fleet.
type newcomers struct {
	fleet  *fleet.Fleet
	config fleet.Config

	mu   sync.Mutex
	list []*fleet.Process
}

// join starts a coordinator of that name, which asks the members to take it in.
func (n *newcomers) join(ctx context.Context, name string) error {
	api, err := n.fleet.Client(n.fleet.Servers...)
	if err != nil {
		return err
	}
	cluster, err := api.Cluster(ctx)
	if err != nil {
		return err
	}
	var members []string
	for _, s := range cluster.Servers {
		members = append(members, s.RPCAddress)
	}
	ports, err := fleet.FreePorts(3)
	if err != nil {
		return err
	}
	p := fleet.NewProcess(name, n.config.Dir, n.config.Binary, "coordinator", "--id", name, "--data", filepath.Join(n.config.Dir, name),
		"--http", ports[0], "--rpc", ports[1], "--raft", ports[2], "--join", strings.Join(members, ","))
	n.mu.Lock()
	n.list = append(n.list, p)
	n.mu.Unlock()
	return p.Start()
}

func (n *newcomers) stop(ctx context.Context) (err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.list {
		err = errors.Join(err, p.Stop(ctx))
	}
	return err
}

// serve serves until it is closed.
func serve(handler http.Handler) (*http.Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Addr: listener.Addr().String(), Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return server, nil
}
