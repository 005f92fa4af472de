package dist

import "strconv"

// An Op is the kind of a control message, with the name and number of the ERTS User's Guide.
type Op uint8

// The control messages that the capabilities of Default allow.
const (
	Link                Op = 1
	Send                Op = 2
	Exit                Op = 3
	Unlink              Op = 4 // from peers without UNLINK_ID: no longer since OTP 25
	RegSend             Op = 6
	GroupLeader         Op = 7
	Exit2               Op = 8
	MonitorP            Op = 19
	DemonitorP          Op = 20
	MonitorPExit        Op = 21
	SendSender          Op = 22
	PayloadExit         Op = 24
	PayloadExit2        Op = 26
	PayloadMonitorPExit Op = 28
	AliasSend           Op = 33 // only sent: Default does not offer it
	UnlinkID            Op = 35
	UnlinkIDAck         Op = 36
)

// The forms with a token of sequential tracing. Parse turns them into the plain ones.
const (
	sendTT         Op = 12
	exitTT         Op = 13
	regSendTT      Op = 16
	exit2TT        Op = 18
	sendSenderTT   Op = 23
	payloadExitTT  Op = 25
	payloadExit2TT Op = 27
)

// A field is one element of a control message, after its number.
type field uint8

const (
	unused     field = iota // an atom: '' or, long ago, the cookie
	from                    // a pid
	to                      // a pid
	toName                  // an atom
	fromOrName              // a pid, or the atom of a registered name
	toOrName                // the same
	ref                     // a reference
	id                      // an integer of 1 to 64 bits
	reason                  // any term
	token                   // any term, dropped
)

// A payload is the term after a control message.
type payload uint8

const (
	noPayload payload = iota
	messagePayload
	reasonPayload
)

// A layout is the form of a control message, and the Op that Parse reports for it.
type layout struct {
	op      Op
	fields  []field
	payload payload
}

// layouts holds every accepted message. Parse refuses all others.
var layouts = [...]layout{
	Link:                {Link, []field{from, to}, noPayload},
	Send:                {Send, []field{unused, to}, messagePayload},
	Exit:                {Exit, []field{from, to, reason}, noPayload},
	Unlink:              {Unlink, []field{from, to}, noPayload},
	RegSend:             {RegSend, []field{from, unused, toName}, messagePayload},
	GroupLeader:         {GroupLeader, []field{from, to}, noPayload},
	Exit2:               {Exit2, []field{from, to, reason}, noPayload},
	sendTT:              {Send, []field{unused, to, token}, messagePayload},
	exitTT:              {Exit, []field{from, to, token, reason}, noPayload},
	regSendTT:           {RegSend, []field{from, unused, toName, token}, messagePayload},
	exit2TT:             {Exit2, []field{from, to, token, reason}, noPayload},
	MonitorP:            {MonitorP, []field{from, toOrName, ref}, noPayload},
	DemonitorP:          {DemonitorP, []field{from, toOrName, ref}, noPayload},
	MonitorPExit:        {MonitorPExit, []field{fromOrName, to, ref, reason}, noPayload},
	SendSender:          {SendSender, []field{from, to}, messagePayload},
	sendSenderTT:        {SendSender, []field{from, to, token}, messagePayload},
	PayloadExit:         {PayloadExit, []field{from, to}, reasonPayload},
	payloadExitTT:       {PayloadExit, []field{from, to, token}, reasonPayload},
	PayloadExit2:        {PayloadExit2, []field{from, to}, reasonPayload},
	payloadExit2TT:      {PayloadExit2, []field{from, to, token}, reasonPayload},
	PayloadMonitorPExit: {PayloadMonitorPExit, []field{fromOrName, to, ref}, reasonPayload},
	AliasSend:           {AliasSend, []field{from, ref}, messagePayload},
	UnlinkID:            {UnlinkID, []field{id, from, to}, noPayload},
	UnlinkIDAck:         {UnlinkIDAck, []field{id, from, to}, noPayload},
}

var opNames = map[Op]string{
	Link: "LINK", Send: "SEND", Exit: "EXIT", Unlink: "UNLINK", RegSend: "REG_SEND",
	GroupLeader: "GROUP_LEADER", Exit2: "EXIT2", sendTT: "SEND_TT", exitTT: "EXIT_TT",
	regSendTT: "REG_SEND_TT", exit2TT: "EXIT2_TT", MonitorP: "MONITOR_P", DemonitorP: "DEMONITOR_P",
	MonitorPExit: "MONITOR_P_EXIT", SendSender: "SEND_SENDER", sendSenderTT: "SEND_SENDER_TT",
	PayloadExit: "PAYLOAD_EXIT", payloadExitTT: "PAYLOAD_EXIT_TT", PayloadExit2: "PAYLOAD_EXIT2",
	payloadExit2TT: "PAYLOAD_EXIT2_TT", PayloadMonitorPExit: "PAYLOAD_MONITOR_P_EXIT",
	AliasSend: "ALIAS_SEND", UnlinkID: "UNLINK_ID", UnlinkIDAck: "UNLINK_ID_ACK",
}

// String returns the name in the ERTS User's Guide.
func (op Op) String() string {
	if name, ok := opNames[op]; ok {
		return name
	}
	return "control message " + strconv.Itoa(int(op))
}
