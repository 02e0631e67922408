package mtls

import (
	"net"
	"strings"

	"backfleet/pkg/fault"
)

// Loopback reports whether a listen address ("host:port") is reachable from
// this machine alone. An empty or unspecified host is every interface; a name
// other than localhost is not resolved, and so is not loopback.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// RequireSecure refuses (fault.Denied) to listen beyond the loopback without
// both TLS and a token, and says which flags are missing. allowInsecure is
// the operator's explicit word that something else protects the network.
func RequireSecure(addr string, tlsConfigured, tokenConfigured, allowInsecure bool) error {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return fault.New(fault.Invalid, "listen address %q: expected host:port, such as 127.0.0.1:7400", addr)
	}
	if allowInsecure || Loopback(addr) {
		return nil
	}
	var missing []string
	if !tlsConfigured {
		missing = append(missing, FlagCert, FlagKey, FlagCA)
	}
	if !tokenConfigured {
		missing = append(missing, FlagToken)
	}
	if len(missing) == 0 {
		return nil
	}
	return fault.New(fault.Denied, "refusing to listen on %s, which other machines can reach, without TLS and a token: give %s, or listen on 127.0.0.1",
		addr, strings.Join(missing, " "))
}
