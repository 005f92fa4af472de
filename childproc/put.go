package childproc

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"erluv/childproc/history"
	"erluv/childproc/order"
	"erluv/childproc/upload"
	"erluv/ipc"
	"erluv/stat"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// incoming is a file that a node writes here, piece by piece, as a process of the node. Or it is a
// program that is kept in memory. A separate process, started like a program, writes the file: see
// ipc.Upload and writer.go.
type incoming struct {
	entry

	life   upload.Life
	w      *workers.Worker // writes the file; nil: no process does
	memory *upload.Memory  // nil: it is a file
	what   ipc.Upload
	user   uint8
	taken  int64        // bytes of chunks
	calls  []*waiting   // unanswered calls to the writer, in order
	answer answerInPart // of the writer
	sum    [sha256.Size]byte
	done   bool     // it is complete, and has its name
	why    etf.Term // why it failed; nil: it has not
}

// uploads is what all uploads use together.
type uploads struct {
	open     int // incomplete files, each with a process
	programs int // programs in memory, complete or not, each with a descriptor
	memory   upload.Budget
}

// maxUploads is the maximum number of files that may come in at once. Each has a process of about
// 10 MiB.
const maxUploads = 32

// maxPrograms is the maximum number of programs in memory. Otherwise a node could take all of the
// child's descriptors with small programs, and no program could be started.
const maxPrograms = 256

// putFile takes {put_file, Path, Opts}. The answer comes when the file is open.
func (m *manager) putFile(to caller, what, opts etf.Term) {
	if m.host.given.OnlyClasses {
		to.reply(gen.Error(classRequired)) // a file is as good as a program
		return
	}
	o, bad := order.PutOf(m.outside(to.From), what, opts)
	if bad != nil {
		to.reply(gen.Error(bad.Term()))
		return
	}
	if reason := o.RunAs(m.start.Allowed); reason != nil {
		to.reply(gen.Error(reason))
		return
	}
	switch {
	case !o.Memory && m.uploads.open >= maxUploads, o.Memory && m.uploads.programs >= maxPrograms:
		to.reply(gen.Error(etf.Atom("max_uploads")))
		return
	case !o.Memory && m.starterOf(o.User).Full():
		to.reply(gen.Error(userFailure(unix.EAGAIN)))
		return
	}
	p := &incoming{what: o.Upload, user: uint8(o.User)}
	if !m.admit(p, to, &o.Process, o.Cost()) {
		return
	}
	if !o.Memory {
		m.uploads.open++
		p.w = workers.New(writerHost{m}, m.starterOf(o.User), &o.Spec, p)
		return
	}
	var err error
	if p.memory, err = upload.NewMemory(&m.uploads.memory); err != nil {
		m.forget(p)
		to.reply(gen.Error(etf.Tuple{etf.Atom("memory"), gen.Errno(ipc.ErrnoOf(err))}))
		return
	}
	m.uploads.programs++
	p.step(m, upload.Opened)
}

// imageOf returns the program in memory of an upload.
func (m *manager) imageOf(pid etf.Pid) (*workers.Image, error) {
	p, ok := m.find(pid).(*incoming)
	if !ok || p.memory == nil || !p.memory.Image.Live() {
		return nil, errors.New("the upload is not a complete program in memory")
	}
	return p.memory.Image, nil
}

// step takes an upload through an event and its consequences.
func (p *incoming) step(m *manager, e upload.Event) {
	todo := p.life.Step(e)
	if todo&upload.Grant != 0 {
		p.started = time.Now().UnixMilli()
		m.introduce(p)
		m.granted(p)
	}
	if todo&upload.Publish != 0 && p.memory != nil {
		p.keep(m)
	}
	if todo&(upload.Stop|upload.Halt) != 0 {
		p.halt(m, todo&upload.Halt != 0)
	}
	if todo&upload.Decline != 0 {
		m.logUpload(p)
		m.decline(p, gen.Error(p.reason()))
	}
	if todo&upload.Bury != 0 {
		if !p.done {
			m.logUpload(p)
		}
		if p.why != nil && len(p.calls) == 0 {
			p.ends().failing = gen.Encode(etf.Tuple{etf.Atom("put_file"), p.why}) // no call gets the answer
		}
		m.bury(p)
	}
}

// halt ends the writing, or the keeping.
func (p *incoming) halt(m *manager, now bool) {
	switch {
	case p.memory != nil:
		p.step(m, upload.Over)
	case now:
		p.w.Kill()
	default:
		p.w.Stop()
	}
}

// reason is the reason why there is no file.
func (p *incoming) reason() etf.Term {
	if p.why != nil {
		return p.why
	}
	return etf.Atom("stopping")
}

// chunkCall takes {chunk, Offset, Data}.
func (p *incoming) chunkCall(m *manager, to caller, a args) bool {
	r := etf.NewReader(a.raw)
	offset, err := r.Int()
	if err != nil || offset < 0 {
		return false
	}
	data := r.Rest()
	if _, err := etf.IODataSize(data, ipc.MaxUploadChunk); errors.Is(err, etf.ErrTooLarge) {
		to.reply(gen.TooLarge(len(data), ipc.MaxUploadChunk))
		return true
	}
	chunk, err := ioData(data)
	if err != nil {
		return false
	}
	switch {
	case p.life.State != upload.Open:
		to.reply(gen.Error(etf.Atom(p.life.State.String())))
	case offset != p.taken:
		to.reply(gen.Error(etf.Tuple{etf.Atom("bad_offset"), p.taken}))
	case p.what.Size >= 0 && p.taken+int64(len(chunk)) > p.what.Size:
		to.reply(gen.Error(etf.Tuple{etf.Atom("bad_size"), p.what.Size}))
	case p.memory != nil:
		err := p.memory.Write(chunk)
		if err == nil {
			p.taken += int64(len(chunk))
		}
		to.reply(outcome(err))
	default:
		if p.tell(m, to, ipc.AppendChunk(make([]byte, 0, ipc.UploadHead+len(chunk)), chunk)) {
			p.taken += int64(len(chunk))
		}
	}
	return true
}

// commitCall takes {commit, Sha256} and {commit, none}.
func (p *incoming) commitCall(m *manager, to caller, a args) bool {
	var sum *[sha256.Size]byte
	if b, ok := a.list[0].(etf.Binary); ok && len(b) == sha256.Size {
		sum = (*[sha256.Size]byte)(b)
	} else if a.list[0] != etf.Atom("none") {
		return false
	}
	switch {
	case p.life.State != upload.Open:
		to.reply(gen.Error(etf.Atom(p.life.State.String())))
	case p.what.Size >= 0 && p.taken != p.what.Size:
		to.reply(gen.Error(etf.Tuple{etf.Atom("bad_size"), p.what.Size}))
	case p.memory == nil:
		if p.tell(m, to, ipc.AppendCommit(nil, sum)) {
			p.step(m, upload.Commit)
		}
	default:
		w := m.keep(to, 0)
		if w == nil {
			return true
		}
		p.calls = append(p.calls, w)
		if p.sum = p.memory.Sum(); sum != nil && *sum != p.sum {
			p.why = otherSum(p.sum)
		}
		p.step(m, upload.Commit)
	}
	return true
}

func otherSum(is [sha256.Size]byte) etf.Term {
	return etf.Tuple{etf.Atom("bad_sum"), etf.Binary(is[:])}
}

// keep seals the memory, unless its content is not what was announced. One call waits, and is
// answered.
func (p *incoming) keep(m *manager) {
	if p.why == nil {
		if err := p.memory.Seal(); err != nil {
			p.why = gen.Errno(ipc.ErrnoOf(err))
		}
	}
	if p.why != nil {
		p.step(m, upload.Over)
		return
	}
	p.step(m, upload.Sealed)
	p.done = true
	m.logUpload(p)
	p.answerOne(p.result())
}

// answerOne answers the call that has waited longest.
func (p *incoming) answerOne(term etf.Term) {
	w := p.calls[0]
	p.calls = p.calls[1:]
	w.reply(term)
}

// result is the answer to the commit.
func (p *incoming) result() etf.Term {
	return gen.OK(etf.Map{
		{Key: etf.Atom("size"), Value: p.taken},
		{Key: etf.Atom("sha256"), Value: etf.Binary(p.sum[:])},
	})
}

// logUpload logs the result of an upload, and the process that requested it.
func (m *manager) logUpload(p *incoming) {
	log := m.log.With("path", p.path(), "user", m.start.Allowed[p.user].User, "bytes", p.taken, "by", process(p.owner), "worker", process(p.pid))
	if !p.client.isNode() {
		log = log.With("operator", p.client.link.Operator)
	}
	switch {
	case p.done:
		log.Info("a file was put", "sum", hex.EncodeToString(p.sum[:]))
	case p.why != nil:
		log.Info("a file was not put", "why", etf.Format(p.why))
	default:
		log.Info("a file was not put", "why", "aborted")
	}
}

// path is the path of the file.
func (p *incoming) path() string {
	if p.memory != nil {
		return "memory"
	}
	return p.what.Path
}

// stop is the method of proc.
func (p *incoming) stop(m *manager, now bool) {
	if now {
		p.step(m, upload.Kill)
	} else {
		p.step(m, upload.End)
	}
}

// lost is the method of proc.
func (p *incoming) lost(m *manager, ends bool) {
	if ends {
		m.end(p, gen.Noconnection, history.Node)
	}
}

// release is the method of proc.
func (p *incoming) release(m *manager) {
	if p.w != nil {
		m.uploads.open--
	}
	if p.memory != nil {
		m.uploads.programs--
		p.memory.Close()
	}
}

// unanswered is the method of proc.
func (p *incoming) unanswered(*manager, etf.Raw) (list []answer) {
	for _, w := range p.calls {
		term := gen.Error(p.reason())
		if p.done {
			term = p.result()
		}
		list = append(list, answer{w, term})
	}
	return list
}

// outcome is the method of proc. A file that was put meanwhile stays.
func (p *incoming) outcome() etf.Term {
	if p.done && p.memory == nil {
		return gen.Error(etf.Atom("committed"))
	}
	return etf.Atom("ok")
}

// ownable is the method of proc.
func (*incoming) ownable(m *manager, pid etf.Pid) error { return m.reachable(pid) }

// disowned is the method of proc.
func (*incoming) disowned(*manager) {}

// kind is the method of proc.
func (*incoming) kind() taken { return byUpload }

// setopt is the method of proc.
func (*incoming) setopt(*manager, etf.Atom, etf.Term) (func(), error) {
	return nil, errors.New("there is no such option for an upload")
}

// brief is the method of proc.
func (p *incoming) brief(m *manager, longest int) etf.Map {
	u := p.stat(m)
	u.Path = cutShort(u.Path, longest)
	return stat.Terms(u.Items())
}

// info is the method of proc.
func (p *incoming) info(m *manager) etf.Map {
	u := p.stat(m)
	u.All, u.Owner = true, process(p.owner)
	return stat.Terms(u.Items())
}

func (p *incoming) stat(m *manager) stat.Upload {
	return stat.Upload{
		Worker: process(p.pid), PID: p.osPID(), User: m.start.Allowed[p.user].User, State: p.life.State.String(), Started: p.startedAt(),
		Path: p.path(), Bytes: p.taken, Size: p.what.Size,
	}
}

// osPID is the process id of the writer, 0 if there is none.
func (p *incoming) osPID() int {
	if p.w == nil {
		return 0
	}
	return p.w.PID()
}
