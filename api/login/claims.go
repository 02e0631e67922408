package login

import (
	"slices"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// user reads claims. The name is preferred_username, or else an email that the
// provider does not call unverified, or else the subject.
func (p *Provider) user(subject string, claims map[string]any) (*wire.User, error) {
	text := func(name string) string { s, _ := claims[name].(string); return s }
	u := &wire.User{Name: text("preferred_username"), DisplayName: text("name"), Email: text("email"), Issuer: p.Issuer, Subject: subject}
	if verified, said := claims["email_verified"]; said && verified != true && verified != "true" {
		u.Email = ""
	}
	for _, name := range []string{u.Email, subject} {
		if u.Name == "" {
			u.Name = name
		}
	}
	g := p.grant(claims[p.RoleClaim])
	if g.role == wire.Role_ROLE_UNSPECIFIED {
		return nil, fault.New(fault.Denied, "%s is known to %s, but the claim %q gives no role here: ask who runs this cluster to add one of your groups to --%s", u.Name, p.Issuer, p.RoleClaim, FlagRoles)
	}
	u.Role, u.Workspaces = g.role, g.workspaces
	return u, nil
}

// grant is the most that the words of a claim are worth. A developer by several
// of them has the workspaces of all.
func (p *Provider) grant(claim any) grant {
	best := p.other
	for _, word := range words(claim) {
		switch g, ok := p.roles[word]; {
		case !ok || g.role < best.role:
		case g.role > best.role:
			best = g
		case len(g.workspaces) == 0 || len(best.workspaces) == 0:
			best.workspaces = nil
		default:
			best.workspaces = slices.Concat(best.workspaces, g.workspaces)
		}
	}
	slices.Sort(best.workspaces)
	best.workspaces = slices.Compact(best.workspaces)
	return best
}

// words of a claim: a list, or one alone.
func words(claim any) (out []string) {
	switch c := claim.(type) {
	case string:
		return []string{c}
	case []any:
		for _, one := range c {
			if s, ok := one.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}
