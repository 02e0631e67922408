package service

import (
	"context"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

var errNoPeople = fault.New(fault.Unavailable, "this coordinator does not know of users yet")

// Bearer implements server.People.
func (s *Service) Bearer(string) (server.Bearer, bool) { return server.Bearer{}, false }

// Users implements server.People.
func (s *Service) Users(context.Context, server.UserFilter, server.Page) ([]v1.User, server.Next, error) {
	return nil, "", errNoPeople
}

// User implements server.People.
func (s *Service) User(context.Context, string) (*v1.User, error) { return nil, errNoPeople }

// PutUser implements server.People.
func (s *Service) PutUser(context.Context, server.Write, *wire.User) (*v1.User, uint64, error) {
	return nil, 0, errNoPeople
}

// RemoveUser implements server.People.
func (s *Service) RemoveUser(context.Context, server.Write, string) (uint64, error) {
	return 0, errNoPeople
}

// Tokens implements server.People.
func (s *Service) Tokens(context.Context, server.TokenFilter, server.Page) ([]v1.AccessToken, server.Next, error) {
	return nil, "", errNoPeople
}

// Token implements server.People.
func (s *Service) Token(context.Context, string) (*v1.AccessToken, error) { return nil, errNoPeople }

// CreateToken implements server.People.
func (s *Service) CreateToken(context.Context, server.Write, server.UserToken) (*v1.NewToken, error) {
	return nil, errNoPeople
}

// RevokeToken implements server.People.
func (s *Service) RevokeToken(context.Context, server.Write, string) (uint64, error) {
	return 0, errNoPeople
}

// Audit implements server.People.
func (s *Service) Audit(context.Context, server.AuditFilter, server.Page) ([]v1.AuditRecord, server.Next, error) {
	return nil, "", errNoPeople
}

// RecordRefusals implements server.People.
func (s *Service) RecordRefusals(context.Context, []*wire.Refusal, uint64) error { return errNoPeople }

// Baselines implements server.People.
func (s *Service) Baselines(context.Context, string, server.Page) ([]v1.Baseline, server.Next, error) {
	return nil, "", errNoPeople
}

// Tag implements server.People.
func (s *Service) Tag(string) string { return "" }
