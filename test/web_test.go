package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// served is a running erluv web, and the address that it has printed.
type served struct {
	t       *testing.T
	cmd     *exec.Cmd
	address string // with the token
	base    string // without
	token   string
}

func serve(t *testing.T, socket string, args ...string) *served {
	t.Helper()
	return startWeb(t, nil, append([]string{"--control", socket}, args...)...)
}

// serve starts erluv web for the erluvs that serve the node.
func (n *node) serve(t *testing.T, args ...string) *served {
	t.Helper()
	return startWeb(t, []string{"ERL_EPMD_PORT=" + epmd.port}, append([]string{"--config", "none", n.cookieFile(), "--node", n.name}, args...)...)
}

func startWeb(t *testing.T, env []string, args ...string) *served {
	t.Helper()
	cmd := exec.Command(executable, append([]string{"web", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	cmd.Env, cmd.Dir = env, "/"
	if env == nil {
		cmd.Env = []string{}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &served{t: t, cmd: cmd}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			s.end()
		}
		if t.Failed() {
			t.Logf("erluv web: %s", stderr.String())
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("erluv web says no address: %v\n%s", err, stderr.String())
	}
	s.address = strings.TrimSpace(line)
	u, err := url.Parse(s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.token, s.base = u.Query().Get("token"), "http://"+u.Host
	return s
}

// end ends erluv web, and with it the page.
func (s *served) end() {
	s.t.Helper()
	page := s.page()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Error(err)
	}
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("erluv web: %v", err)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", page)); err == nil {
		s.t.Error("the page outlives erluv web")
	}
}

// page returns the process that serves the page.
func (s *served) page() int {
	s.t.Helper()
	pid := 0
	if !until(startTime, func() bool {
		tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", s.cmd.Process.Pid))
		for _, task := range tasks {
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", s.cmd.Process.Pid, task.Name()))
			if f := strings.Fields(string(text)); len(f) > 0 {
				pid, _ = strconv.Atoi(f[0])
			}
		}
		return pid != 0
	}) {
		s.t.Fatal("there is no page")
	}
	return pid
}

// ask makes a request. change may add a cookie.
func (s *served) ask(method, path string, form url.Values, change func(*http.Request)) (status int, head http.Header, body string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if change != nil {
		change(r)
	}
	c := http.Client{Timeout: evalTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer c.CloseIdleConnections()
	answer, err := c.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(text)
}

// trusted makes a request that of a browser which has shown the token.
func (s *served) trusted(r *http.Request) {
	r.AddCookie(&http.Cookie{Name: "erluv_token", Value: s.token})
}

// wares are programs that a page can show.
const wares = `
	Busy = "while :; do i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; sleep 0.2; done",
	P = fun(C, O) -> e2e:start(E, C, O) end,
	Sink = spawn(fun F() -> receive _ -> F() end end),
	W1 = P(Busy, #{owner => Sink, name => worker_a, restart => permanent}),
	W2 = P("trap 'exit 0' TERM; while :; do echo a line of output; sleep 0.05; done", #{owner => Sink, name => web, restart => permanent}),
	W3 = P(["cat", "/dev/zero"], #{owner => spawn(fun() -> receive never -> ok end end), name => flood}),
	W6 = P(["sh", "-c", "i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo line $i of a program that says what it does; done; echo to stderr >&2; sleep 0.1; printf '<b>62</b> \\033[31mred\\033[0m\nno end'; exec cat"],
		#{owner => none, link => false, name => talker, keep => true}),
	W4 = P(["sh", "-c", "sleep 1000", "<b>secret & words</b>"], #{owner => none, link => false, name => '<i>odd</i>'}),
	[P(["sleep", "1000"], #{owner => none, link => false}) || _ <- lists:seq(1, 12)], ok`

// TestWebPage checks section 6 of the contract for the page in a browser, at two widths, light and
// dark. The page is live, and stops and restarts programs. The pictures are in build/screenshots.
func TestWebPage(t *testing.T) {
	e, s, socket := operated(t)
	s.eval(t, wares)
	w := serve(t, socket)
	b := newBrowser(t)
	b.pictured("list", w.address, `location.search === "" && document.querySelectorAll("#rows tr").length === 17 && document.querySelector("#node .badge").innerText === "ready"`)
	b.pictured("program", w.base+"/program/"+number(t, socket, "web"), `document.querySelectorAll("figure svg[aria-label]").length === 3`)
	b.pictured("output", w.base+"/program/"+number(t, socket, "talker"), `document.querySelectorAll("#output-lines div").length === 62`)
	b.look(1280, 900, false)

	// The output of a program is text, and follows the program.
	b.until(`document.querySelector("#output-lines").innerText.includes("<b>62</b> red") && document.querySelector("#output-open").innerText === "no end" &&
		document.querySelector("#output-lines .stderr").innerText === "to stderr" && document.querySelector(".tail").scrollTop === 0`)
	s.eval(t, `W6 ! {self(), {command, "\nmore\n"}}, ok`)
	b.until(`document.querySelector("#output-lines").lastElementChild.innerText === "more" && document.querySelector("#output-open").innerText === ""`)
	s.eval(t, `W6 ! {self(), {command, "end\nlast words"}}, ok = e2e:call(W6, {close, stdin}), ok`)
	b.until(`document.querySelector("#trouble").innerText.includes("has ended") && document.querySelector("#output-lines").lastElementChild.innerText === "end" && document.querySelector("#output-open").innerText === "last words"`)
	b.open(w.base + "/program/" + number(t, socket, "worker_a"))
	b.until(`!document.querySelector(".tail") && document.querySelector("#output-why").innerText.includes("without the option keep")`)
	s.eval(t, `W7 = P(["sh", "-c", "echo for reading; sleep 1000"], #{owner => none, link => false, name => reader, keep => true}), ok`)
	b.script(false)
	b.open(w.base + "/program/" + number(t, socket, "reader"))
	b.script(true)
	b.until(`document.querySelector("#output-lines").innerText === "for reading"`)
	s.eval(t, `{ok, _} = e2e:call(W7, stop), ok`)

	// The page is live, and an element keeps the focus.
	b.open(w.base + "/?order=name&find=odd")
	b.until(`document.querySelectorAll("#rows tr").length === 1 && document.querySelector("#rows a").innerText === "<i>odd</i>"`)
	b.value(`document.querySelector("#rows a").focus()`)
	id := b.value(`document.activeElement.id`)
	s.eval(t, `P(["sleep", "1000"], #{owner => none, link => false, name => another_odd}), ok`)
	b.until(`document.querySelectorAll("#rows tr").length === 2`)
	b.until(`document.activeElement.id === "` + id + `"`)

	// Headings, heads of tables, and labels are there.
	for _, is := range []string{
		`document.querySelectorAll("h1").length === 1 && document.documentElement.lang === "en"`,
		`[...document.querySelectorAll("table")].every(t => t.caption && t.querySelector("th[scope=col]") && t.querySelector("tbody th[scope=row]"))`,
		`[...document.querySelectorAll("input:not([type=hidden])")].every(i => i.labels.length === 1)`,
		`[...document.querySelectorAll("svg")].every(s => s.getAttribute("aria-label") || s.getAttribute("aria-hidden") === "true")`,
		`document.querySelectorAll("[aria-sort]").length === 1`,
		`document.querySelectorAll("[style], style, script:not([src])").length === 0`,
	} {
		b.until(is)
	}

	// The buttons work.
	before := pidOf(t, socket, "web")
	b.open(w.base + "/program/" + number(t, socket, "web"))
	b.value(`document.querySelector("form[action$=restart] button").click()`)
	if !until(endTime, func() bool { pid := pidOf(t, socket, "web"); return pid != 0 && pid != before }) {
		t.Error("it is not restarted")
	}
	b.open(w.base + "/program/" + number(t, socket, "flood"))
	b.until(`!document.querySelector("form[action$=restart]") && document.getElementById("state").innerText === "paused"`)
	b.value(`document.querySelector("form[action$=stop] button").click()`)
	b.until(`location.pathname === "/" && document.readyState === "complete"`)
	s.expect(t, "ok", `e2e:until(fun() -> e2e:call(E, {info, workers}) =:= 16 end)`)
	b.silent()

	// Without scripts the page can be read too, and reloads itself.
	b.script(false)
	b.open(w.base + "/?find=odd")
	b.script(true)
	b.until(`document.querySelectorAll("#rows tr").length === 2 && !!document.querySelector("meta[http-equiv=refresh]")`)

	// The page reports a crash of the child, and then shows the next child's programs.
	kill(t, e.roles(t).child, syscall.SIGKILL)
	b.open(w.base + "/")
	b.until(`!document.getElementById("trouble").hidden`)
	s.down(t, 0)
	s.respawn(t)
	b.until(`document.getElementById("trouble").hidden && document.querySelectorAll("#rows tr").length === 0`)
	w.end()
	b.until(`!document.getElementById("trouble").hidden`)
}

// number returns the number of the worker with a name.
func number(t *testing.T, socket, name string) string {
	t.Helper()
	for _, p := range listed(t, socket).Programs {
		if p.Name != nil && *p.Name == name {
			return p.Worker
		}
	}
	t.Fatalf("there is no program %s", name)
	return ""
}

// pidOf returns the os_pid of the worker with a name, or 0 if it has none now.
func pidOf(t *testing.T, socket, name string) int {
	t.Helper()
	for _, p := range listed(t, socket).Programs {
		if p.Name != nil && *p.Name == name && p.OsPid != nil {
			return *p.OsPid
		}
	}
	return 0
}

// A client that reaches the port sees names and figures. More details and all actions need the
// token. Pages of other sites cannot make a browser act.
//
//erluv:users
func TestWebStrangers(t *testing.T) {
	_, s, socket := operated(t)
	s.eval(t, wares)
	w := serve(t, socket, "--host", "Erluv.Example")
	status, head, body := w.ask("GET", "/", nil, nil)
	if status != 200 || !strings.Contains(body, "worker_a") || strings.Contains(body, "secret") || strings.Contains(body, w.token) || strings.Contains(body, "<form method=\"post\"") {
		t.Errorf("a stranger: %d\n%s", status, body)
	}
	if policy := head.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %q", policy)
	}
	odd := "/program/" + number(t, socket, "<i>odd</i>")
	if status, _, body := w.ask("GET", odd, nil, nil); status != 200 || strings.Contains(body, "secret") || strings.Contains(body, "<i>odd") {
		t.Errorf("a stranger: %d\n%s", status, body)
	}
	if status, _, body := w.ask("GET", odd, nil, w.trusted); status != 200 || !strings.Contains(body, "&lt;b&gt;secret &amp; words&lt;/b&gt;") {
		t.Errorf("with the token: %d\n%s", status, body)
	}
	status, head, _ = w.ask("GET", "/?token="+w.token, nil, nil)
	if cookie := head.Get("Set-Cookie"); status != 303 || head.Get("Location") != "/" || !strings.Contains(cookie, "HttpOnly; SameSite=Strict") {
		t.Errorf("the token's address: %d, %v", status, head)
	}
	for name, c := range map[string]struct {
		method, path string
		form         url.Values
		change       func(*http.Request)
		want         int
	}{
		"a wrong token":            {"GET", "/?token=x", nil, nil, 403},
		"no cookie":                {"POST", odd + "/stop", url.Values{"token": {w.token}}, nil, 403},
		"a form without the token": {"POST", odd + "/stop", url.Values{}, w.trusted, 403},
		"a form of another page": {"POST", odd + "/stop", url.Values{"token": {w.token}}, func(r *http.Request) {
			w.trusted(r)
			r.Header.Set("Origin", "http://elsewhere.example")
		}, 403},
		"an act that there is not":      {"POST", odd + "/kill", url.Values{"token": {w.token}}, w.trusted, 404},
		"no restart without the option": {"POST", odd + "/restart", url.Values{"token": {w.token}}, w.trusted, 409},
		"no such program":               {"POST", "/program/77777.0/stop", url.Values{"token": {w.token}}, w.trusted, 404},
		"a GET that would act":          {"GET", odd + "/stop", nil, w.trusted, 405},
		"another name":                  {"GET", "/", nil, func(r *http.Request) { r.Host = "rebound.example" }, 421},
		"metrics by another name":       {"GET", "/metrics", nil, func(r *http.Request) { r.Host = "rebound.example:80" }, 421},
		"our name":                      {"GET", "/", nil, func(r *http.Request) { r.Host = "erluv.example:4380" }, 200},
		"localhost":                     {"GET", "/", nil, func(r *http.Request) { r.Host = "localhost" }, 200},
		"an address":                    {"GET", "/", nil, func(r *http.Request) { r.Host = "[::1]:1" }, 200},
		"nothing":                       {"GET", "/etc/passwd", nil, nil, 404},
	} {
		if status, _, body := w.ask(c.method, c.path, c.form, c.change); status != c.want {
			t.Errorf("%s: %d, want %d\n%s", name, status, c.want, body)
		}
	}
	if status, _, _ := w.ask("POST", odd+"/stop", url.Values{"token": {w.token}}, w.trusted); status != 303 {
		t.Errorf("with the token: %d", status)
	}
	s.expect(t, "ok", `e2e:until(fun() -> e2e:call(E, {info, workers}) =:= 16 end)`)
}

// The process of the page has no privileges.
//
//erluv:users
func TestWebHasNothing(t *testing.T) {
	_, s, socket := operated(t)
	s.eval(t, wares)
	w := serve(t, socket)
	w.ask("GET", "/", nil, nil)
	page := w.page()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", page))
	if err != nil {
		t.Fatal(err)
	}
	uid := "65534"
	if ordinary {
		uid = fmt.Sprint(credential.Uid)
	}
	for _, want := range []string{`(?m)^Uid:\t` + strings.Repeat(uid+`\s*`, 4) + `$`, `(?m)^CapPrm:\t0+$`, `(?m)^CapBnd:\t`, `(?m)^NoNewPrivs:\t1$`, `(?m)^Seccomp:\t2$`} {
		if !regexp.MustCompile(want).MatchString(string(text)) {
			t.Errorf("there is no %s in\n%s", want, text)
		}
	}
	if os.Getuid() == 0 && !ordinary && !regexp.MustCompile(`(?m)^CapBnd:\t0+$`).MatchString(string(text)) {
		t.Errorf("it can have capabilities:\n%s", text)
	}
	if environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", page)); err == nil && len(environ) > 0 {
		t.Errorf("it has the environment %q", environ)
	}
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", page)); err != nil || strings.Contains(string(line), w.token) {
		t.Errorf("its arguments have the token: %q, %v", line, err)
	}
}

// TestMetrics checks section 6 of the contract for the metrics, in both formats. promtool reports no
// problem.
func TestMetrics(t *testing.T) {
	e, s, socket := operated(t, "--die-timeout", "1m")
	s.eval(t, wares)
	s.eval(t, `e2e:call(E, {run, ["sh", "-c", "exit 3"], #{}}), ok`)
	w := serve(t, socket)
	status, head, text := w.ask("GET", "/metrics", nil, nil)
	if status != 200 || head.Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("%d, %v", status, head)
	}
	for _, want := range []string{
		`erluv_up 1`, `erluv_ready 1`, `erluv_nodes 1`, `erluv_workers\{state="running"\} 17`, `erluv_workers\{state="resting"\} 0`,
		`erluv_worker_exits_total\{reason="exit_status"\} 1`, `erluv_worker_starts_total 18`, `erluv_child_crashes_total 0`,
		`erluv_output_bytes_total [1-9].*`, `erluv_output_paused_seconds_total .*`, `erluv_worker_cpu_seconds_total\{name="worker_a"\} .*`,
		`erluv_worker_memory_bytes\{name="web"\} [1-9].*`, `erluv_worker_restarts_total\{name="<i>odd</i>"\} 0`, `erluv_workers_with_metrics 5`,
		`erluv_process_resident_memory_bytes\{role="main"\} [1-9].*`, `erluv_process_cpu_seconds_total\{role="spawner"\} .*`,
	} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).MatchString(text) {
			t.Errorf("there is no %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, "secret") || strings.Contains(text, "# EOF") {
		t.Errorf("it has what is not for it:\n%s", text)
	}
	promtool := exec.Command("promtool", "check", "metrics")
	promtool.Stdin = strings.NewReader(text)
	if out, err := promtool.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
	status, head, text = w.ask("GET", "/metrics", nil, func(r *http.Request) {
		r.Header.Set("Accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
	})
	if status != 200 || head.Get("Content-Type") != "application/openmetrics-text; version=1.0.0; charset=utf-8" || !strings.HasSuffix(text, "\n# EOF\n") ||
		!strings.Contains(text, "# TYPE erluv_worker_exits counter\n") || !strings.Contains(text, "# UNIT erluv_uptime_seconds seconds\n") {
		t.Errorf("%d, %v\n%s", status, head, text)
	}

	kill(t, e.roles(t).child, syscall.SIGKILL)
	down := func() string { _, _, text := w.ask("GET", "/metrics", nil, nil); return text }
	if !until(endTime, func() bool { return strings.Contains(down(), "\nerluv_up 0\n") }) {
		t.Errorf("without a child: %s", down())
	}
	s.down(t, 0)
	s.respawn(t)
	if !until(endTime, func() bool { return strings.Contains(down(), "\nerluv_child_crashes_total 1\n") }) {
		t.Errorf("after a crash: %s", down())
	}
}

// TestWebFleet checks the page of all erluvs that serve a node. Each erluv has pages of its own, which
// need the token as those of a single one do.
func TestWebFleet(t *testing.T) {
	n := newNode(t, nodeOptions{noise: true})
	one, two := newErluv(t, n), newErluv(t, n)
	n.eval(t, bind{"A": atom(one.erluv), "B": atom(two.erluv)}.String()+`
		[{ok, _} = e2e:call(E, {spawn, ["sh", "-c", "echo output of $0; sleep 1000", atom_to_list(E)], #{name => web, owner => none, link => false, keep => true}}) || E <- [A, B]],
		{ok, _} = e2e:call(B, {spawn, ["sleep", "1000"], #{owner => none, link => false}}), ok`)
	w := n.serve(t)
	b := newBrowser(t)
	b.pictured("fleet", w.address, `location.search === "" && document.querySelectorAll("#rows tr").length === 2 && [...document.querySelectorAll("#rows .state")].every(s => s.innerText === "ready")`)
	b.look(1280, 900, false)
	for e, programs := range map[*erluv]int{one: 1, two: 2} {
		b.open(w.base + "/")
		b.until(fmt.Sprintf(`[...document.querySelectorAll("#rows tr")].some(r => r.querySelector("a").innerText === %q && r.cells[2].innerText === "%d")`, e.erluv, programs))
		b.value(fmt.Sprintf(`[...document.querySelectorAll("#rows a")].find(a => a.innerText === %q).click()`, e.erluv))
		b.until(fmt.Sprintf(`location.pathname.startsWith("/host/") && document.querySelectorAll("#rows tr").length === %d && document.querySelector("h1").innerText === %q`, programs, e.erluv))
		b.value(`[...document.querySelectorAll("#rows a")].find(a => a.innerText === "web").click()`)
		b.until(fmt.Sprintf(`location.pathname.includes("/program/") && document.querySelector("#output-lines").innerText.trim() === "output of %s"`, e.erluv))
	}
	path := b.value(`location.pathname`)
	if status, _, body := w.ask("GET", path, nil, nil); status != 200 || strings.Contains(body, "output of") || strings.Contains(body, w.token) {
		t.Errorf("a stranger: %d\n%s", status, body)
	}
	if status, _, _ := w.ask("POST", path+"/stop", url.Values{"token": {w.token}}, nil); status != 403 {
		t.Errorf("a stranger stops a program: %d", status)
	}
	host, _, _ := strings.Cut(path, "/program/")
	if status, _, text := w.ask("GET", host+"/metrics", nil, nil); status != 200 || !strings.Contains(text, "\nerluv_up 1\n") {
		t.Errorf("%d\n%s", status, text)
	}
	if status, _, _ := w.ask("GET", "/host/x@h/", nil, w.trusted); status != 404 {
		t.Errorf("an unknown erluv: %d", status)
	}
	b.value(`document.querySelector("form[action$=stop] button").click()`)
	b.until(`location.pathname === "` + host + `/" && document.readyState === "complete"`)
	b.silent()

	// An erluv that ends leaves the fleet.
	b.open(w.base + "/")
	if err := two.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	two.exits(t, endTime)
	b.until(fmt.Sprintf(`document.querySelectorAll("#rows tr").length === 1 && document.querySelector("#rows a").innerText === %q`, one.erluv))
}

// TestWebFleetReadOnly checks that a page with --read-only stops no program.
func TestWebFleetReadOnly(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := newErluv(t, n)
	e.expect(t, "ok", `{ok, _} = e2e:call(E, {spawn, ["sleep", "1000"], #{name => web, owner => none, link => false}}), ok`)
	w := n.serve(t, "--read-only")
	host, body := "/host/"+url.PathEscape(e.erluv), ""
	if !until(endTime, func() bool {
		_, _, body = w.ask("GET", host+"/", nil, w.trusted)
		return strings.Contains(body, ">web</a>")
	}) {
		t.Fatal(body)
	}
	link := regexp.MustCompile(`href="([^"]*/program/[^"]*)"`).FindStringSubmatch(body)
	if status, _, _ := w.ask("POST", link[1]+"/stop", url.Values{"token": {w.token}}, w.trusted); status != 403 {
		t.Errorf("it stops a program: %d", status)
	}
	e.expect(t, "1", `e2e:call(E, {info, workers})`)
}
