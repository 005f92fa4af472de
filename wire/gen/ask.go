package gen

import (
	"erluv/wire/dist"
	"erluv/wire/etf"
)

// ParseAsk parses a message whose sender waits for an answer.
func ParseAsk(payload etf.Raw) (ask dist.Ask, req etf.Raw, ok bool) {
	r := etf.NewReader(payload)
	if ask, ok = dist.ReadAsk(&r); !ok {
		return ask, nil, false
	}
	req, err := r.Raw()
	return ask, req, err == nil
}

// AskIn finds the request in an incomplete frame. The frame must have the whole control message,
// and the pid and the tag of the payload. The request itself may be missing.
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

// IsRespawn reports whether a request is respawn, which main handles.
func IsRespawn(req etf.Raw) bool { return IsAtom(req, respawn) }

// IsAuth reports whether a request is {is_auth, Node}, the request of net_adm:ping/1.
func IsAuth(req etf.Raw) bool {
	_, ok := Second("is_auth", req)
	return ok
}
