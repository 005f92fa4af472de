package e2e

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A browser is a Chromium without a window. The test speaks its DevTools protocol on the browser's
// descriptors 3 and 4: requests and events are JSON, each ended by a zero byte.
type browser struct {
	t       *testing.T
	to      *os.File
	replies chan reply
	next    int
	page    string   // the session of its only page
	said    []string // errors and warnings of the console, exceptions, requests that have failed
}

type reply struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// newBrowser starts a browser with an empty page.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	in, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command("chromium", "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-networking", "--disable-extensions", "--hide-scrollbars", "--user-data-dir="+dir, "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_RUNTIME_DIR="+dir)
	cmd.ExtraFiles = []*os.File{in, out}
	if err := cmd.Start(); err != nil {
		t.Fatalf("cannot start chromium: %v: test/deps installs it", err)
	}
	_, _ = in.Close(), out.Close()
	b := &browser{t: t, to: to, replies: make(chan reply)}
	ended := make(chan struct{})
	go b.read(from, ended) // ends with the browser, or with ended
	t.Cleanup(func() {
		close(ended)
		_, _ = fmt.Fprintf(to, `{"id":1000000,"method":"Browser.close"}%c`, 0)
		kill := time.AfterFunc(startTime, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
		_, _ = to.Close(), from.Close()
	})
	var target struct{ TargetID string }
	b.do("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	b.do("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	b.page = session.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.do(domain+".enable", nil, nil)
	}
	return b
}

func (b *browser) read(from *os.File, ended <-chan struct{}) {
	in := bufio.NewReader(from)
	for {
		text, err := in.ReadBytes(0)
		if err != nil {
			close(b.replies)
			return
		}
		var r reply
		if json.Unmarshal(text[:len(text)-1], &r) != nil {
			continue
		}
		select {
		case b.replies <- r:
		case <-ended: // later messages are of no interest
		}
	}
}

// do makes a request and waits for its answer, which must not be an error.
func (b *browser) do(method string, params any, result any) {
	b.t.Helper()
	r := b.ask(method, params)
	if r.Error != nil {
		b.t.Fatalf("%s: %s", method, r.Error.Message)
	}
	if result != nil {
		if err := json.Unmarshal(r.Result, result); err != nil {
			b.t.Fatal(err)
		}
	}
}

// ask makes a request and waits for its answer.
func (b *browser) ask(method string, params any) reply {
	b.t.Helper()
	b.next++
	if params == nil {
		params = struct{}{}
	}
	text, err := json.Marshal(struct {
		ID        int    `json:"id"`
		Method    string `json:"method"`
		Params    any    `json:"params"`
		SessionID string `json:"sessionId,omitempty"`
	}{b.next, method, params, b.page})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		b.t.Fatal(err)
	}
	return b.await(func(r reply) bool { return r.ID == b.next }, method)
}

// await reads until a wanted reply comes.
func (b *browser) await(wanted func(reply) bool, what string) reply {
	b.t.Helper()
	late := time.After(endTime)
	for {
		select {
		case r, ok := <-b.replies:
			if !ok {
				b.t.Fatalf("the browser has ended before %s", what)
			}
			b.note(r)
			if wanted(r) {
				return r
			}
		case <-late:
			b.t.Fatalf("the browser does not answer to %s", what)
		}
	}
}

// note keeps messages that a developer would see in red.
func (b *browser) note(r reply) {
	var p struct {
		Type  string
		Entry struct{ Level, Text, URL string }
	}
	_ = json.Unmarshal(r.Params, &p)
	switch {
	case r.Method == "Runtime.exceptionThrown":
	case r.Method == "Runtime.consoleAPICalled" && (p.Type == "error" || p.Type == "warning"):
	case r.Method == "Log.entryAdded" && (p.Entry.Level == "error" || p.Entry.Level == "warning"):
	default:
		return
	}
	b.said = append(b.said, r.Method+" "+string(r.Params))
}

// look sets the page's width and height, and its color scheme.
func (b *browser) look(width, height int, dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 640}, nil)
	b.do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// script says whether pages may run scripts.
func (b *browser) script(on bool) {
	b.t.Helper()
	b.do("Emulation.setScriptExecutionDisabled", map[string]any{"value": !on}, nil)
}

// open goes to an address.
func (b *browser) open(address string) {
	b.t.Helper()
	var answer struct{ ErrorText string }
	b.do("Page.navigate", map[string]any{"url": address}, &answer)
	if answer.ErrorText != "" {
		b.t.Fatalf("%s: %s", address, answer.ErrorText)
	}
	b.until(`document.readyState === "complete"`)
}

// value evaluates an expression in the page and returns it as a string.
func (b *browser) value(expression string) string {
	b.t.Helper()
	var answer struct {
		Result           struct{ Value any }
		ExceptionDetails any
	}
	b.do("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &answer)
	if answer.ExceptionDetails != nil {
		b.t.Fatalf("%s: %v", expression, answer.ExceptionDetails)
	}
	return fmt.Sprint(answer.Result.Value)
}

// until waits for an expression to be true. While the browser loads another page, it counts as
// false.
func (b *browser) until(expression string) {
	b.t.Helper()
	is := map[string]any{"expression": "!!(" + expression + ")", "returnByValue": true}
	if !until(endTime, func() bool {
		var answer struct{ Result struct{ Value bool } }
		r := b.ask("Runtime.evaluate", is)
		return r.Error == nil && json.Unmarshal(r.Result, &answer) == nil && answer.Result.Value
	}) {
		b.t.Fatalf("not true: %s in\n%.3000s", expression, b.value("document.body.innerText"))
	}
}

// picture saves a screenshot in build/screenshots.
func (b *browser) picture(name string) {
	b.t.Helper()
	var answer struct{ Data string }
	b.do("Page.captureScreenshot", nil, &answer)
	png, err := base64.StdEncoding.DecodeString(answer.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	dir := filepath.Join("..", "build", "screenshots")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// silent checks that the browser has reported nothing in red.
func (b *browser) silent() {
	b.t.Helper()
	if len(b.said) > 0 {
		b.t.Errorf("the browser complains:\n%s", strings.Join(b.said, "\n"))
	}
}

// pictured takes pictures of a page when it is ready: wide and narrow, light and dark.
func (b *browser) pictured(name, address, ready string) {
	b.t.Helper()
	b.look(1280, 900, false)
	b.open(address)
	b.until(ready)
	for _, width := range []int{1280, 390} {
		for _, dark := range []bool{false, true} {
			b.look(width, 900, dark)
			b.until(fmt.Sprintf(`innerWidth === %d && document.documentElement.scrollWidth === %[1]d`, width))
			scheme := map[bool]string{false: "light", true: "dark"}[dark]
			b.until(`matchMedia("(prefers-color-scheme: ` + scheme + `)").matches`)
			b.picture(fmt.Sprintf("%s-%d-%s", name, width, scheme))
		}
	}
}
