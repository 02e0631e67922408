package notify

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func TestTheManagerHears(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	for name, address := range map[string]string{"path": path, "abstract": "@backfleet-test-" + strconv.Itoa(os.Getpid())} {
		t.Run(name, func(t *testing.T) {
			socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			t.Setenv("NOTIFY_SOCKET", address)
			t.Setenv("WATCHDOG_USEC", "2500000")
			t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
			m, err := Open()
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if m.Watchdog() != 2500*time.Millisecond {
				t.Errorf("watchdog %s", m.Watchdog())
			}
			for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
				if _, ok := os.LookupEnv(name); ok {
					t.Errorf("%s is still in the environment", name)
				}
			}
			m.Say("READY=1\nSTATUS=fine")
			data := make([]byte, 100)
			if err := socket.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err := socket.Read(data)
			if err != nil || string(data[:n]) != "READY=1\nSTATUS=fine" {
				t.Errorf("heard %q, %v", data[:n], err)
			}
		})
	}
}

func TestWithoutAManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	m, err := Open()
	if m != nil || err != nil {
		t.Fatalf("%v, %v", m, err)
	}
	m.Say("READY=1") // nobody hears
	m.Close()
	if m.Watchdog() != 0 {
		t.Error("there is a watchdog")
	}
	t.Setenv("NOTIFY_SOCKET", "nonsense")
	if _, err := Open(); err == nil {
		t.Error("nonsense was taken for a socket")
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	if _, err := Open(); err == nil {
		t.Error("nobody was found")
	}
}

func TestTheWatchdogOfAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "1000")
	t.Setenv("WATCHDOG_PID", "1")
	m, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Watchdog() != 0 {
		t.Errorf("watchdog %s, want that of process 1 left alone", m.Watchdog())
	}
}
