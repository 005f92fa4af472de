package web

import (
	"bytes"
	"context"
	"crypto/subtle"
	"embed"
	"errors"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"erluv/wire/etf"
)

//go:embed assets
var assets embed.FS

// templates are parsed when a page is first shown. Every role of erluv has this package in its
// executable, and only erluv web shows pages.
var templates = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("").ParseFS(assets, "assets/*.html"))
})

// handler answers browsers. It has no state of its own.
type handler struct {
	ctx     context.Context // of the process
	board   *board
	given   Given
	viewers chan struct{} // a place for each page that gets live changes
	base    string        // prefix of all addresses of its pages
}

const (
	// cookieName is the cookie with the token.
	cookieName = "erluv_token"

	// policy allows only the files that are served here. It allows no style and no script within
	// the page.
	policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

	// actBound is how long a page waits for the result of an action. A program that takes longer is
	// shown while it stops.
	actBound = 2 * time.Second

	// maxForm bounds the data of a form, in bytes.
	maxForm = 4 << 10
)

func newHandler(ctx context.Context, b *board, given Given) http.Handler {
	h := &handler{ctx: ctx, board: b, given: given, viewers: make(chan struct{}, maxViewers)}
	mux := h.mux()
	assetsOf(mux)
	return h.guarded(http.NewCrossOriginProtection().Handler(mux))
}

// mux serves the pages of one erluv.
func (h *handler) mux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.list)
	mux.HandleFunc("GET /program/{number}", h.program)
	mux.HandleFunc("POST /program/{number}/{act}", h.act)
	mux.HandleFunc("GET /events", h.events)
	mux.HandleFunc("GET /metrics", h.metrics)
	return mux
}

func assetsOf(mux *http.ServeMux) {
	mux.HandleFunc("GET /style.css", asset("assets/style.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /page.js", asset("assets/page.js", "text/javascript; charset=utf-8"))
	mux.HandleFunc("GET /icon.svg", asset("assets/icon.svg", "image/svg+xml"))
}

func asset(name, kind string) http.HandlerFunc {
	content, err := assets.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(content)
	}
}

// guarded refuses a browser that was led here by a name that belongs to others (DNS rebinding). It
// sets the policy of our pages.
func (h *handler) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Content-Security-Policy", policy)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("X-Frame-Options", "DENY")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		head.Set("Cross-Origin-Opener-Policy", "same-origin")
		head.Set("Cache-Control", "no-store")
		if !h.ours(r.Host) {
			http.Error(w, "this page has another name: give that to erluv web by --host", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ours reports whether a Host is one of our names, or an address, which cannot be made to lead
// elsewhere.
func (h *handler) ours(host string) bool {
	name := host
	if only, _, err := net.SplitHostPort(host); err == nil {
		name = only
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return strings.EqualFold(name, "localhost") || slices.ContainsFunc(h.given.Names, func(n string) bool { return strings.EqualFold(n, name) })
}

// knows reports whether a token is ours.
func (h *handler) knows(token string) bool {
	return h.given.Token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(h.given.Token)) == 1
}

// trusted reports whether a browser has shown the token.
func (h *handler) trusted(r *http.Request) bool {
	c, err := r.Cookie(cookieName)
	return err == nil && h.knows(c.Value)
}

// list is the page with all programs. If the address has the token, the browser gets a cookie
// instead, so that the token does not stay in its history.
func (h *handler) list(w http.ResponseWriter, r *http.Request) {
	if !h.admit(w, r) {
		return
	}
	h.board.fresh(r.Context())
	h.render(w, http.StatusOK, "list.html", h.listView(askedFor(r.URL.Query()), h.trusted(r)))
}

// admit checks the token in the address, if there is one. Then it answers the request and returns
// false.
func (h *handler) admit(w http.ResponseWriter, r *http.Request) bool {
	token := r.URL.Query().Get("token")
	switch {
	case token == "":
		return true
	case !h.knows(token):
		h.problem(w, http.StatusForbidden, "This is not the token of this page. erluv web prints the address with it.")
	default:
		http.SetCookie(w, &http.Cookie{Name: cookieName, Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
		http.Redirect(w, r, h.base+"/", http.StatusSeeOther)
	}
	return false
}

func (h *handler) program(w http.ResponseWriter, r *http.Request) {
	h.board.fresh(r.Context())
	number, trusted := r.PathValue("number"), h.trusted(r)
	h.board.meet(r.Context(), number, trusted)
	v, ok := h.programView(number, trusted)
	if !ok {
		h.problem(w, http.StatusNotFound, "There is no such program: it has ended.")
		return
	}
	h.render(w, http.StatusOK, "program.html", v)
}

// act stops a program, or has it restarted.
func (h *handler) act(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	number, act := r.PathValue("number"), etf.Atom(r.PathValue("act"))
	switch {
	case act != "stop" && act != "restart":
		h.problem(w, http.StatusNotFound, "There is nothing here.")
		return
	case !h.given.Acts || !h.trusted(r) || !h.knows(r.PostFormValue("token")):
		h.problem(w, http.StatusForbidden, "Open the address that erluv web has printed: without its token this page is for looking only.")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), actBound)
	defer cancel()
	err := h.board.act(ctx, number, act)
	switch {
	case errors.Is(err, errGone):
		h.problem(w, http.StatusNotFound, "There is no such program: it has ended.")
	case err != nil && !errors.Is(err, context.DeadlineExceeded):
		h.problem(w, http.StatusConflict, "It was not done: "+err.Error()+".")
	case act == "stop" && err == nil:
		http.Redirect(w, r, h.base+"/", http.StatusSeeOther)
	default:
		http.Redirect(w, r, h.base+"/program/"+url.PathEscape(number), http.StatusSeeOther)
	}
}

// problem is a page that explains why there is no other.
func (h *handler) problem(w http.ResponseWriter, status int, text string) {
	h.render(w, status, "problem.html", struct{ Title, Text, Base string }{http.StatusText(status), text, h.base})
}

func (h *handler) render(w http.ResponseWriter, status int, name string, view any) {
	var page bytes.Buffer
	if err := templates().ExecuteTemplate(&page, name, view); err != nil {
		http.Error(w, "the page cannot be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = page.WriteTo(w)
}
