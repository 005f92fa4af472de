package gen

import (
	"fmt"
	"strings"
	"testing"

	"erluv/wire/dist"
	"erluv/wire/etf"
)

func TestDescribe(t *testing.T) {
	a, b := etf.Pid{Node: "a@h", ID: 1, Serial: 2, Creation: 3}, etf.Pid{Node: "b@h", ID: 4, Creation: 5}
	secret := etf.Raw(etf.AppendAtom(nil, "s3cret"))
	ref := etf.Raw(etf.AppendNewRef(nil, "a@h", 3, 1, 2, 3))
	ended := func(frame []byte) []byte { return dist.End(append(frame, secret...), 0) }
	for want, frame := range map[string][]byte{
		"[op REG_SEND from <a@h.1.2> to name":               ended(dist.BeginRegSend(nil, a, "name")),
		"[op SEND from  to <b@h.4.0>":                       ended(dist.BeginSend(nil, b)),
		"[op LINK from <a@h.1.2> to <b@h.4.0>":              dist.AppendLink(nil, a, b),
		"[op PAYLOAD_EXIT from <a@h.1.2> to <b@h.4.0>":      dist.AppendExit(nil, a, b, secret),
		"[op MONITOR_P from <a@h.1.2> to <b@h.4.0>":         dist.AppendMonitor(nil, a, b, ref),
		"[op PAYLOAD_MONITOR_P_EXIT from name to <b@h.4.0>": dist.AppendMonitorExitName(nil, "name", b, ref, secret),
		"[op not understood":                                append([]byte{0, 0, 0, 6}, "s3cret"...),
	} {
		want += fmt.Sprintf(" bytes %d]", len(frame)-dist.HeaderSize)
		if got := fmt.Sprint(Describe(frame[dist.HeaderSize:])); got != want {
			t.Errorf("%s\nwant %s", got, want)
		} else if strings.Contains(got, "s3cret") {
			t.Errorf("%s has what the message says", got)
		}
	}
}
