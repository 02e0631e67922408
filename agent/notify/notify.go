// Package notify tells the service manager how the agent is, by the protocol of
// systemd (sd_notify(3)): one datagram for each message, to a socket named in
// the environment.
package notify

import (
	"net"
	"os"
	"strconv"
	"time"

	"backfleet/pkg/fault"
)

// Manager is a service manager. nil is none: nothing is told then.
type Manager struct {
	conn     *net.UnixConn
	watchdog time.Duration
}

// Open finds the service manager of this process in its environment, and takes
// it out of there: what the process starts shall not speak for it. It is nil
// when there is none.
func Open() (*Manager, error) {
	socket, usec, pid := os.Getenv("NOTIFY_SOCKET"), os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		_ = os.Unsetenv(name)
	}
	if socket == "" {
		return nil, nil
	}
	if socket[0] != '/' && socket[0] != '@' { // "@": a name that is in no folder, as Go has it, too
		return nil, fault.Field("NOTIFY_SOCKET", "expected a path, or a name after @, found %q", socket)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the service manager cannot be reached at NOTIFY_SOCKET")
	}
	m := &Manager{conn: conn}
	if n, err := strconv.ParseInt(usec, 10, 64); err == nil && n > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		m.watchdog = time.Duration(n) * time.Microsecond
	}
	return m, nil
}

// Watchdog is how often "WATCHDOG=1" must come at least; 0: it need not.
func (m *Manager) Watchdog() time.Duration {
	if m == nil {
		return 0
	}
	return m.watchdog
}

// Say tells states, a line each, as "READY=1\nSTATUS=…". A manager that does not
// listen is none of the agent's business.
func (m *Manager) Say(states string) {
	if m != nil {
		_, _ = m.conn.Write([]byte(states))
	}
}

// Close ends the connection.
func (m *Manager) Close() {
	if m != nil {
		m.conn.Close()
	}
}
