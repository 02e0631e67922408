package etcd

import (
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"

	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Flags are the command line's names for Options; errors repeat them.
const (
	FlagEndpoints = "--etcd"
	FlagCA        = "--etcd-ca"
	FlagCert      = "--etcd-cert"
	FlagKey       = "--etcd-key"
	FlagLogin     = "--etcd-login"
	FlagPrefix    = "--etcd-prefix"
	FlagLease     = "--etcd-lease"
)

// Options say where etcd is and how to prove who one is. Without files the
// connection is plain; with a CA alone etcd proves itself; with all three both
// sides do, and etcd takes the certificate's common name for the user.
type Options struct {
	Endpoints []string // host:port
	CA        string   // PEM file
	Cert, Key string   // PEM files
	// Login is a file with user:password on its first line, for an etcd that
	// asks for passwords. It is read at each login, so it can be changed.
	Login string
	Config
}

// Open makes a registry with a client of its own; Close ends it. It does not
// wait for etcd: an etcd that is away now is met when it is back. Files are
// read again when they change.
func Open(o Options) (*Registry, error) {
	files := mtls.Files{Cert: o.Cert, Key: o.Key, CA: o.CA}
	if len(o.Endpoints) == 0 {
		return nil, fault.Field(FlagEndpoints, "missing; expected host:port, such as 127.0.0.1:2379")
	}
	for _, e := range o.Endpoints {
		address, plain := strings.CutPrefix(e, "http://")
		address = strings.TrimPrefix(address, "https://")
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			return nil, fault.Field(FlagEndpoints, "%q is no address of etcd; expected host:port, such as 127.0.0.1:2379", e)
		}
		if plain && files.Configured() {
			return nil, fault.Field(FlagEndpoints, "%q is not secured, but files for TLS are given; expected host:port or https://", e)
		}
	}
	config := clientv3.Config{
		Endpoints: o.Endpoints, Logger: zap.NewNop(), DialTimeout: within,
		// A host that vanished must not look like one that thinks.
		DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 5 * time.Second, PermitWithoutStream: true,
	}
	if files.Configured() {
		secure, err := mtls.LoadFor("etcd-", files)
		if err != nil {
			return nil, err
		}
		config.TLS = secure.Client("") // says that there is TLS; the option after it counts
		config.DialOptions = []grpc.DialOption{grpc.WithTransportCredentials(secure.AnyCredentials())}
	}
	if _, _, err := login(o.Login); err != nil {
		return nil, err
	}
	r, err := New(nil, o.Config)
	if err != nil {
		return nil, err
	}
	r.where = strings.Join(o.Endpoints, ", ")
	r.connect = func() (*clientv3.Client, error) { // only with a login does it wait for etcd
		user, password, err := login(o.Login)
		if err != nil {
			return nil, err
		}
		c := config
		c.Username, c.Password = user, password
		return clientv3.New(c)
	}
	return r, nil
}

// login reads user and password; both are empty without a file. Its errors do
// not quote the file.
func login(path string) (user, password string, err error) {
	if path == "" {
		return "", "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "", fault.Wrap(err, fault.Invalid, "%s cannot be read", FlagLogin)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	user, password, _ = strings.Cut(strings.TrimSpace(line), ":")
	if user == "" || password == "" {
		return "", "", fault.Field(FlagLogin, "%s: expected user:password on its first line", path)
	}
	return user, password, nil
}
