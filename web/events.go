package web

import (
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"erluv/wire/etf"
)

const (
	// maxViewers is how many pages get live changes. Others keep the state in which they were
	// opened.
	maxViewers = 32

	// sendBound is how long a browser may take to read a message.
	sendBound = 10 * time.Second
)

// fragment is a changed part of the page: the element with an ID.
type fragment struct {
	ID   string `json:"id"`
	HTML string `json:"html"`
	More bool   `json:"more,omitempty"` // append to the contents of the element
}

// events sends a page the changed parts after each look. A browser that does not read loses its
// place.
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	trusted, number := h.trusted(r), r.URL.Query().Get("program")
	a, worker := askedFor(r.URL.Query()), etf.Pid{}
	h.stream(w, r, func() (changing, <-chan struct{}, bool) {
		h.board.open()
		h.board.mu.Lock()
		next := h.board.next
		h.board.mu.Unlock()
		p, ok := h.changing(a, number, trusted, &worker)
		return p, next, ok
	})
}

// stream sends the changed parts of the results of look. It calls look again when the returned
// channel is closed, until look returns false.
func (h *handler) stream(w http.ResponseWriter, r *http.Request, look func() (changing, <-chan struct{}, bool)) {
	select {
	case h.viewers <- struct{}{}:
		defer func() { <-h.viewers }()
	default:
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // nothing more comes from the browser
	w.Header().Set("Content-Type", "text/event-stream")
	sent := map[string]string{}
	for {
		p, next, ok := look()
		changed, err := p.since(sent)
		if err != nil {
			return
		}
		_ = control.SetWriteDeadline(time.Now().Add(sendBound))
		if err := send(w, changed); err != nil || control.Flush() != nil || !ok {
			return
		}
		select {
		case <-next:
		case <-r.Context().Done():
			return
		case <-h.ctx.Done():
			return
		}
	}
}

func send(w http.ResponseWriter, changed []fragment) error {
	line, err := json.Marshal(changed)
	if err != nil {
		return err
	}
	for _, b := range [][]byte{[]byte("data: "), line, []byte("\n\n")} {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// part is an element of a page, and the template that makes it.
type part struct {
	id, template string
	view         any
}

// changing is the changing part of a page: some elements, and the rows of its table.
type changing struct {
	parts  []part
	rows   []part
	output *OutputView // nil: the page has none
}

// changing returns the changing part of a page. It returns false if the program on it has ended. It
// sets worker, so that the last output can be shown then.
func (h *handler) changing(a asked, number string, trusted bool, worker *etf.Pid) (changing, bool) {
	if number == "" {
		v := h.listView(a, trusted)
		return changing{parts: []part{{"trouble", "trouble", v.Top}, {"node", "node", v.Top}, {"count", "count", v}}, rows: rowsOf(v.Rows)}, true
	}
	v, ok := h.programView(number, trusted)
	if !ok {
		p := changing{parts: []part{{"trouble", "trouble", Top{Trouble: "The program has ended"}}}}
		if *worker != (etf.Pid{}) {
			h.board.mu.Lock()
			v.Output = h.board.outputOf(*worker, trusted)
			h.board.mu.Unlock()
			p.show(&v.Output)
		}
		return p, false
	}
	*worker = v.worker
	p := changing{parts: []part{{"trouble", "trouble", v.Top}, {"state", "state", v}, {"graphs", "graphs", v}, {"details", "details", v}}}
	p.show(&v.Output)
	return p, true
}

func rowsOf(list []Row) (rows []part) {
	for _, r := range list {
		rows = append(rows, part{r.ID, "row", r})
	}
	return rows
}

// show adds output.
func (c *changing) show(v *OutputView) {
	c.output = v
	c.parts = append(c.parts, part{"output-why", "output-why", v}, part{"output-open", "output-open", v})
}

// since returns the parts that differ from the parts in sent, and notes them there. The table's body
// is one part if its rows or their order have changed.
func (c changing) since(sent map[string]string) ([]fragment, error) {
	changed, ids, body := []fragment{}, "", ""
	note := func(id, html string) {
		if sent[id] != html {
			sent[id] = html
			changed = append(changed, fragment{ID: id, HTML: html})
		}
	}
	for _, p := range c.parts {
		html, err := made(p.template, p.view)
		if err != nil {
			return nil, err
		}
		note(p.id, html)
	}
	if c.output != nil {
		f, err := c.output.since(sent)
		if err != nil {
			return nil, err
		}
		changed = append(changed, f...)
		return changed, nil
	}
	others := len(changed)
	for i := range c.rows {
		html, err := made(c.rows[i].template, c.rows[i].view)
		if err != nil {
			return nil, err
		}
		note(c.rows[i].id, html)
		ids += c.rows[i].id + " "
		body += html
	}
	if before, told := sent["rows"]; !told || before != ids { // a page that was opened before may have rows
		known := map[string]string{"rows": ids}
		for _, p := range c.parts {
			known[p.id] = sent[p.id]
		}
		for i := range c.rows {
			known[c.rows[i].id] = sent[c.rows[i].id]
		}
		clear(sent) // removes rows that are gone
		maps.Copy(sent, known)
		changed = append(changed[:others], fragment{ID: "rows", HTML: `<tbody id="rows">` + body + `</tbody>`})
	}
	return changed, nil
}

// since returns the lines that were not sent, and notes that they are. The first lines replace all
// lines that the page may have.
func (v *OutputView) since(sent map[string]string) ([]fragment, error) {
	const id = "output-lines"
	before, told := sent[id]
	if sent[id] = strconv.Itoa(v.count); before == sent[id] {
		return nil, nil
	}
	if !told {
		html, err := made(id, v)
		return []fragment{{ID: id, HTML: html}}, err
	}
	n, err := strconv.Atoi(before)
	if err != nil {
		return nil, err
	}
	html, err := made("lines", v.Lines[len(v.Lines)-min(len(v.Lines), v.count-n):])
	return []fragment{{ID: id, HTML: html, More: true}}, err
}

func made(template string, view any) (string, error) {
	var b strings.Builder
	err := templates().ExecuteTemplate(&b, template, view)
	return b.String(), err
}
