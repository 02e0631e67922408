package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	v1 "backfleet/api/v1"
	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
	"backfleet/pkg/channel"
)

const hookSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

// receiver takes webhooks while it is up, and verifies them.
type receiver struct {
	t      *testing.T
	server *httptest.Server
	mu     sync.Mutex
	up     bool
	tried  int
	took   []channel.Data
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t}
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	return r
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tried++
	if !r.up {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	var d channel.Data
	verifier, errSecret := webhooks.NewWebhook(hookSecret)
	switch {
	case err != nil || errSecret != nil:
		r.t.Error(err, errSecret)
	case verifier.Verify(body, q.Header) != nil:
		r.t.Errorf("the signature of %s is wrong", body)
	case json.Unmarshal(body, &d) != nil || d.ID != q.Header.Get("webhook-id"):
		r.t.Errorf("it was sent %s", body)
	}
	r.took = append(r.took, d)
}

func (r *receiver) turn(up bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.up = up
}

func (r *receiver) counts() (tried, took int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tried, len(r.took)
}

// TestR15_6_ToldOverALeaderChange: a failure is raised, its leader killed before
// it could be delivered, and the next one delivers it, once and signed. A receiver
// that stays away makes a dead letter, until a person retries it.
func TestR15_6_ToldOverALeaderChange(t *testing.T) {
	r, secrets := newReceiver(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(secrets, "hook"), []byte(hookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, fleet.Config{Coordinators: 3, Agents: 1, CoordinatorFlags: []string{
		"--secrets", secrets, "--notify-for", "20s", "--public-url", "https://backfleet.example/",
	}})
	file := filepath.Join(t.TempDir(), "channels.yaml")
	s.Must(os.WriteFile(file, []byte("name: hook\nkind: webhook\nurl: "+r.server.URL+"\nsecret: {file: hook}\n"), 0o600))
	if out, err := s.CLI("channel", "apply", "-f", file); err != nil {
		t.Fatal(err, out)
	}
	s.Apply(rig.Node{ID: "fails", Code: "exit 3\n"})
	only := func(state v1.NotificationState) (list []v1.Notification) {
		page, err := s.API.Notifications(s.Ctx, &v1.ListNotificationsParams{State: []v1.NotificationState{state}})
		if err == nil {
			list = page.Items
		}
		return list
	}
	id := s.submit(v1.BackfillRequest{Root: "fails", Mode: v1.ModeCurrent, Dates: []string{"2012-01-01"}, Notify: []v1.Subscription{{Channel: "hook", On: []v1.Occasion{v1.OccasionFailure}}}})
	s.Until("it was tried", func() bool { p := only(v1.NotificationStatePending); return len(p) == 1 && p[0].Tries > 0 })
	leader, err := s.Leader(s.Ctx)
	s.Must(err)
	s.Must(leader.Kill())
	r.turn(true)
	s.Until("it is delivered", func() bool { return len(only(v1.NotificationStateDelivered)) == 1 })
	s.Must(leader.Start())
	if _, took := r.counts(); took != 1 {
		t.Fatalf("it was taken %d times", took)
	}
	d := r.took[0]
	if d.Type != "failure" || d.Backfill.ID != id || d.Backfill.State != string(v1.StateFailed) || d.Backfill.Counts.Failed != 1 ||
		d.Backfill.URL != "https://backfleet.example/backfills/"+id || d.Instance != id+".0" || !strings.Contains(d.Text, "fails of 2012-01-01 has failed") {
		t.Errorf("it says %+v", d)
	}

	r.turn(false)
	tried, _ := r.counts()
	id = s.submit(v1.BackfillRequest{Root: "fails", Mode: v1.ModeCurrent, Dates: []string{"2012-01-02"}, Notify: []v1.Subscription{{Channel: "hook", On: []v1.Occasion{v1.OccasionFinished}}}})
	s.Until("it is dead", func() bool { return len(only(v1.NotificationStateDead)) == 1 })
	dead := only(v1.NotificationStateDead)[0]
	if now, _ := r.counts(); now-tried != dead.Tries || dead.Tries < 3 || dead.Backfill != id || !strings.Contains(dead.Error, "503") {
		t.Errorf("after %d more tries it is %+v", now-tried, dead)
	}
	r.turn(true)
	if out, err := s.CLI("notification", "retry", "--channel", "hook"); err != nil || !strings.Contains(out, "1 notification") {
		t.Fatal(err, out)
	}
	s.Until("it is delivered", func() bool { return len(only(v1.NotificationStateDelivered)) == 2 })
	if out, err := s.CLI("channel", "test", "hook"); err != nil || !strings.Contains(out, "was delivered to hook") {
		t.Error(err, out)
	}
	if _, took := r.counts(); took != 3 || r.took[1].Type != "finished" || r.took[2].Type != "test" {
		t.Errorf("it took %+v", r.took)
	}
	logs, err := filepath.Glob(filepath.Join(s.Dir, "*.log"))
	s.Must(err)
	for _, path := range logs {
		if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), strings.TrimPrefix(hookSecret, "whsec_")) {
			t.Errorf("%s has the secret, or cannot be read: %v", path, err)
		}
	}
}
