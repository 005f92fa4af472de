package childproc

import (
	"slices"
	"strings"

	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// looks are the requests and calls that change nothing.
var looks = []etf.Atom{"info", "workers", "is_auth", "get_state", "get_status"}

// audit logs what an operator does, and who that is. Looks are not logged, and of an act only its
// name and words: what it carries is nobody's business.
func (c *client) audit(msg *dist.Message) {
	act, whom := "", etf.Pid{}
	switch msg.Op {
	case dist.Send, dist.SendSender:
		if c.Asks(msg.To) {
			return // an answer
		}
		act, whom = actOf(msg.Payload), msg.To
	case dist.RegSend:
		act = actOf(msg.Payload)
	case dist.Exit2, dist.PayloadExit2:
		act, whom = "exit", msg.To
	}
	if act == "" {
		return
	}
	log := c.m.log.With("act", act, "by", c.link.Operator)
	if p := c.m.find(whom); p != nil {
		log = log.With("worker", process(whom))
	} else if msg.Name != "" {
		log = log.With("process", string(msg.Name))
	}
	log.Info("an operator acts")
}

// actOf is what a message asks for; "": nothing that changes anything.
func actOf(payload etf.Raw) string {
	ask, req, ok := gen.ParseAsk(payload)
	if !ok {
		return "message"
	}
	name, _, a, ok := headOf(req)
	switch {
	case slices.Contains(looks, name):
		return ""
	case !ok:
		return "request"
	case ask.Kind == dist.AskIO || ask.Kind == dist.AskFile:
		return "io " + string(name)
	}
	words := []string{string(name)}
	for r := etf.NewReader(a.raw); len(words) <= maxActWords; {
		word, err := r.Atom()
		if err != nil {
			break
		}
		words = append(words, string(word))
	}
	return strings.Join(words, " ")
}

// maxActWords is how many atoms of a request are logged besides its name: {signal, group, sigterm}
// has two.
const maxActWords = 2
