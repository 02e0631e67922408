package server

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"

	"backfleet/api/convert"
	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
)

// secureListener serves TLS to clients, who prove themselves by token and need
// no certificate unless they are to be certified. Who speaks plain HTTP is told
// so in the API's own form.
func secureListener(l net.Listener, secure *mtls.Material, certify bool) net.Listener {
	return tls.NewListener(plainRefuser{l}, secure.PublicServer(certify))
}

// plainRefuser gives connections that look at the first byte.
type plainRefuser struct{ net.Listener }

func (l plainRefuser) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &firstByte{Conn: conn}, nil
}

// firstByte is a connection below TLS. A TLS client begins with a byte that is
// no letter, an HTTP request with its method.
type firstByte struct {
	net.Conn
	seen bool
}

func (c *firstByte) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.seen || n == 0 {
		return n, err
	}
	c.seen = true
	if p[0] >= 'A' && p[0] <= 'Z' {
		_, _ = io.WriteString(c.Conn, plainAnswer())
		return 0, io.EOF
	}
	return n, err
}

// plainAnswer is a whole HTTP answer.
func plainAnswer() string {
	body, _ := json.Marshal(convert.Problem(fault.New(fault.Invalid, "this coordinator speaks https here, not http: begin its address with https:// (and name its authority with --ca)"), ""))
	return fmt.Sprintf("HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
}
