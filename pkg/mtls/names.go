package mtls

import (
	"crypto/x509"
	"slices"
	"strings"
)

// Suffixes mark whose a certificate is. All are of one authority, so a valid
// chain alone must open neither the replicated log nor another agent's work.
const (
	reserved          = ".backfleet"
	coordinatorSuffix = ".coordinator" + reserved
	agentSuffix       = ".agent" + reserved
	clientSuffix      = ".client" + reserved
)

// CoordinatorName is the DNS name that the certificate of the coordinator
// with this id carries, beside the names of its host.
func CoordinatorName(id string) string { return id + coordinatorSuffix }

// AgentName is the DNS name that the certificate of the agent with this id
// carries.
func AgentName(id string) string { return id + agentSuffix }

// ClientName is the DNS name that the certificate of a person or a program
// carries.
func ClientName(name string) string { return name + clientSuffix }

// Reserved reports whether a DNS name says what somebody is in a cluster, so
// that it must not be given away as the name of a host.
func Reserved(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name == reserved[1:] || strings.HasSuffix(name, reserved)
}

// Role tells whose a certificate is: "coordinator", "agent" or "client", and
// the id; both are empty when no name says it.
func Role(cert *x509.Certificate) (role, id string) {
	for _, r := range []struct{ role, suffix string }{{"coordinator", coordinatorSuffix}, {"agent", agentSuffix}, {"client", clientSuffix}} {
		for _, name := range cert.DNSNames {
			if id, ok := strings.CutSuffix(name, r.suffix); ok && id != "" && id != "*" {
				return r.role, id
			}
		}
	}
	return "", ""
}

// IsCoordinator reports whether a verified certificate is a coordinator's.
func IsCoordinator(cert *x509.Certificate) bool {
	role, _ := Role(cert)
	return role == "coordinator"
}

// IsAgent reports whether a verified certificate is that of the agent with
// this id: by its name ID.agent.backfleet or, where it has no name that ends in
// .backfleet, by its common name. Ids are compared to the letter.
func IsAgent(cert *x509.Certificate, id string) bool {
	if id == "" || id == "*" {
		return false
	}
	if slices.ContainsFunc(cert.DNSNames, Reserved) {
		return slices.Contains(cert.DNSNames, AgentName(id))
	}
	return cert.Subject.CommonName == id
}
