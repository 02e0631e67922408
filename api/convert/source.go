package convert

import (
	v1 "backfleet/api/v1"
	"backfleet/pkg/wire"
)

// DataSource writes a data source; who names it is for the caller to add.
func DataSource(d *wire.DataSource) v1.DataSource {
	return v1.DataSource{
		Name: d.Name, Type: d.Type, Description: d.Description, Host: d.Host, Port: d.Port, Database: d.Database, User: d.User,
		Password: secretPlace(d.Password), TLS: d.Tls, Ca: secretPlace(d.Ca), Options: Assignments(d.Options), ResourceGroups: d.ResourceGroups,
	}
}

// ReadDataSource reads what is said of a data source. Whether it makes sense is
// for pkg/datasource.
func ReadDataSource(name string, s v1.DataSourceSettings) (*wire.DataSource, error) {
	return &wire.DataSource{
		Name: name, Type: s.Type, Description: s.Description, Host: s.Host, Port: s.Port, Database: s.Database, User: s.User,
		Password: readSecretPlace(s.Password), Tls: s.TLS, Ca: readSecretPlace(s.Ca), Options: readAssignments(s.Options), ResourceGroups: s.ResourceGroups,
	}, nil
}

// DataSourceSettings writes what can be set of a data source.
func DataSourceSettings(d *wire.DataSource) v1.DataSourceSettings {
	all := DataSource(d)
	return v1.DataSourceSettings{
		Type: all.Type, Description: all.Description, Host: all.Host, Port: all.Port, Database: all.Database, User: all.User,
		Password: all.Password, TLS: all.TLS, Ca: all.Ca, Options: all.Options, ResourceGroups: all.ResourceGroups,
	}
}

func secretPlace(s *wire.Secret) *v1.SecretPlace {
	if s == nil {
		return nil
	}
	return &v1.SecretPlace{Environment: s.Environment, File: s.File}
}

func readSecretPlace(s *v1.SecretPlace) *wire.Secret {
	if s == nil {
		return nil
	}
	return &wire.Secret{Environment: s.Environment, File: s.File}
}
