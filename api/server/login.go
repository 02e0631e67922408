package server

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"backfleet/api/convert"
	"backfleet/api/login"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

const (
	pathLogin    = "/login/oidc"
	pathCallback = "/login/callback"
	// cookieLogin is what a browser keeps while it logs in.
	cookieLogin = "backfleet_login"
	// viaLogin is what who logs in by a provider has shown.
	viaLogin = "login"
)

func (h handlers) GetMe(c *gin.Context, _ v1.GetMeParams) {
	who := asker(c)
	me := &v1.Me{
		Name: who.Actor, Role: convert.Role(who.Role), Restricted: who.Restricted, Workspaces: who.Workspaces, Via: who.Via,
		Session: who.kind == wire.PutToken_SESSION, Operations: mayCall(who.Role),
	}
	if !who.expiresAt.IsZero() {
		me.ExpiresAt = &who.expiresAt
	}
	c.Header("Cache-Control", "no-store")
	h.reply(c, http.StatusOK, me, nil)
}

func (h handlers) GetLogin(c *gin.Context, _ v1.GetLoginParams) {
	ways := &v1.LoginWays{Cluster: h.Cluster, Open: h.open(), Token: true}
	if h.Login != nil {
		ways.Oidc = &v1.LoginProvider{Issuer: h.Login.Issuer, ClientID: h.Login.CLIClientID, Scopes: login.Scopes(), Page: pathLogin}
	}
	h.reply(c, http.StatusOK, ways, nil)
}

// attempt lets one try to log in, unless too many of the same address failed.
func (s *Server) attempt(c *gin.Context, try func() error) error {
	from := asker(c).From
	err := s.failures.admits(from)
	if err != nil {
		c.Header(headerRetryAfter, strconv.Itoa(s.failures.after()))
		return err
	}
	if err = try(); fault.Is(err, fault.Unauthenticated) || fault.Is(err, fault.Denied) {
		s.failures.count(from)
	}
	return err
}

func (h handlers) CreateSession(c *gin.Context, _ v1.CreateSessionParams) {
	c.Header("Cache-Control", "no-store") // it may hold a secret
	body, err := decode[v1.SessionRequest](c)
	if err == nil && (body.IDToken == "") == (body.Token == "") {
		err = fault.Field("token", "expected either token or idToken")
	}
	if err == nil {
		err = h.sameOrigin(c.Request)
	}
	var session *v1.Session
	if err == nil {
		err = h.attempt(c, func() (err error) {
			session, err = h.session(c, body)
			return err
		})
	}
	if err != nil {
		h.failIdentity(c, err)
		return
	}
	h.reply(c, http.StatusCreated, session, nil)
}

// session finds whose token it is, or makes one of who has an ID token.
func (s *Server) session(c *gin.Context, body v1.SessionRequest) (*v1.Session, error) {
	setIndex(c, s.Backend.AppliedIndex())
	if body.Token != "" {
		who, err := s.known(body.Token)
		if err != nil {
			return nil, err
		}
		if who.secret == "" {
			return nil, fault.Field("token", "nothing has to be shown here, and this is no user's token")
		}
		out := &v1.Session{Name: who.Actor, Role: convert.Role(who.Role)}
		if !who.expiresAt.IsZero() {
			out.ExpiresAt = &who.expiresAt
		}
		if body.Cookie {
			s.keepSession(c, body.Token, who.expiresAt)
		}
		return out, nil
	}
	if s.Login == nil {
		return nil, fault.Field("idToken", "this cluster has no login provider: show a token")
	}
	user, err := s.Login.Check(c.Request.Context(), body.IDToken)
	if err != nil {
		return nil, err
	}
	made, err := s.loggedIn(c, user, write(c))
	if err != nil {
		return nil, err
	}
	out := &v1.Session{Name: user.Name, Role: convert.Role(user.Role), Token: made.Token, ExpiresAt: made.Details.ExpiresAt}
	if body.Cookie {
		s.keepSession(c, made.Token, time.Time{})
		out.Token = ""
	}
	return out, nil
}

// loggedIn makes a session of a user that the provider has vouched for.
func (s *Server) loggedIn(c *gin.Context, user *wire.User, w Write) (*v1.NewToken, error) {
	w.Actor, w.Role, w.Workspaces, w.Restricted, w.Via = user.Name, user.Role, user.Workspaces, len(user.Workspaces) > 0, viaLogin
	w.Operation = "createSession"
	made, err := s.Backend.CreateToken(c.Request.Context(), w, UserToken{
		User: user.Name, Kind: wire.PutToken_SESSION, Description: "login", ExpiresIn: s.SessionTime, Login: user,
	})
	if err == nil {
		setIndex(c, made.Index)
		c.Set(keyActor, user.Name)
	}
	return made, err
}

// keepSession has a browser keep a token, no longer than a session lasts or the
// token is good (zero: for ever).
func (s *Server) keepSession(c *gin.Context, token string, ends time.Time) {
	age := s.SessionTime
	if left := time.Until(ends); !ends.IsZero() && left < age {
		age = max(left, time.Second)
	}
	s.setCookie(c, cookieSession, token, "/", age)
}

// setCookie sets a cookie that scripts do not see and other sites do not send
// along with writes; age 0 removes it.
func (s *Server) setCookie(c *gin.Context, name, value, path string, age time.Duration) {
	cookie := &http.Cookie{Name: name, Value: value, Path: path, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.https(c.Request), MaxAge: int(age / time.Second)}
	if age == 0 {
		cookie.MaxAge = -1
	}
	http.SetCookie(c.Writer, cookie)
}

// https says whether browsers come by TLS, maybe as far as somebody before this
// coordinator.
func (s *Server) https(r *http.Request) bool {
	return r.TLS != nil || s.Login != nil && strings.HasPrefix(s.Login.PublicURL, "https://")
}

func (h handlers) EndSession(c *gin.Context, _ v1.EndSessionParams) {
	who, w := asker(c), write(c)
	index := h.Backend.AppliedIndex()
	if who.kind == wire.PutToken_SESSION {
		var err error
		if index, err = h.Backend.RevokeToken(c.Request.Context(), w, who.tokenID); err != nil {
			h.fail(c, err)
			return
		}
	}
	h.setCookie(c, cookieSession, "", "/", 0)
	h.removed(c, who.Via, index)
}

// beginLogin sends a browser to the provider.
func (s *Server) beginLogin(c *gin.Context) {
	if s.Login == nil {
		s.fail(c, fault.New(fault.NotFound, "this cluster has no login provider: log in with a token"))
		return
	}
	address, kept, err := s.Login.Begin(c.Request.Context(), s.publicURL(c.Request)+pathCallback, c.Query("next"))
	if err != nil {
		s.fail(c, err)
		return
	}
	s.setCookie(c, cookieLogin, kept, "/login", login.FlowTime)
	c.Header("Cache-Control", "no-store")
	c.Redirect(http.StatusFound, address)
}

// publicURL is where browsers find the cluster.
func (s *Server) publicURL(r *http.Request) string {
	if s.Login.PublicURL != "" {
		return s.Login.PublicURL
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// endLogin takes a browser that comes back from the provider in, on the leader.
func (s *Server) endLogin(c *gin.Context) {
	if s.Login == nil {
		s.fail(c, fault.New(fault.NotFound, "this cluster has no login provider: log in with a token"))
		return
	}
	kept := ""
	if cookie, err := c.Request.Cookie(cookieLogin); err == nil {
		kept = cookie.Value
	}
	c.Header("Cache-Control", "no-store")
	s.setCookie(c, cookieLogin, "", "/login", 0)
	ctx, cancel := context.WithTimeout(c.Request.Context(), s.RequestTimeout)
	defer cancel()
	var next string
	err := s.attempt(c, func() error {
		user, to, err := s.Login.Finish(ctx, kept, c.Request.URL.Query())
		if err != nil {
			return err
		}
		// The code is good once, and so is the request that brings it.
		hash := sha256.Sum256([]byte(kept))
		made, err := s.loggedIn(c, user, Write{From: asker(c).From, RequestID: "login-" + requestID(c), Hash: hash[:]})
		if err != nil {
			return err
		}
		next = to
		s.keepSession(c, made.Token, time.Time{})
		return nil
	})
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, next)
}
