package gen

import (
	"erluv/wire/dist"
	"erluv/wire/etf"
)

// ParseAsk takes a message apart whose sender waits for an answer.
func ParseAsk(payload etf.Raw) (ask dist.Ask, req etf.Raw, ok bool) {
	r := etf.NewReader(payload)
	if ask, ok = dist.ReadAsk(&r); !ok {
		return ask, nil, false
	}
	req, err := r.Raw()
	return ask, req, err == nil
}

// AskIn finds the request in a frame of which only the beginning is there, but all of the
// control message, and pid and tag of the payload. The request itself need not be.
func AskIn(head []byte) (control etf.Raw, ask dist.Ask, ok bool) {
	// 112, control message, 131, payload.
	if len(head) < 2 || head[0] != 112 || head[1] != 131 {
		return nil, ask, false
	}
	r := etf.NewReader(head[2:])
	control, err := r.Raw()
	if err != nil {
		return nil, ask, false
	}
	rest := r.Rest()
	if len(rest) == 0 || rest[0] != 131 {
		return nil, ask, false
	}
	r = etf.NewReader(rest[1:])
	ask, ok = dist.ReadAsk(&r)
	return control, ask, ok
}

var respawn = Encode(etf.Atom("respawn"))

// IsRespawn says whether a request is respawn, which main takes.
func IsRespawn(req etf.Raw) bool { return IsAtom(req, respawn) }

// IsAuth says whether a request is {is_auth, Node}, which net_adm:ping/1 makes.
func IsAuth(req etf.Raw) bool {
	_, ok := Second("is_auth", req)
	return ok
}
