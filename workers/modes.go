package workers

import (
	"errors"
	"fmt"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// disabled is Linux's _POSIX_VDISABLE: no character has the function.
const disabled = 0

// none marks a mode of RFC 4254 that Linux or its pseudo-terminals lack. Set accepts it, because
// every SSH client sends it, and changes nothing.
const none = -1

// chars maps the names of RFC 4254, section 8, in lower case, to places in c_cc (termios(3)).
var chars = map[string]int{
	"vintr": unix.VINTR, "vquit": unix.VQUIT, "verase": unix.VERASE, "vkill": unix.VKILL,
	"veof": unix.VEOF, "veol": unix.VEOL, "veol2": unix.VEOL2, "vstart": unix.VSTART,
	"vstop": unix.VSTOP, "vsusp": unix.VSUSP, "vdsusp": none, "vreprint": unix.VREPRINT,
	"vwerase": unix.VWERASE, "vlnext": unix.VLNEXT, "vflush": none, "vswtch": unix.VSWTC,
	"vstatus": none, "vdiscard": unix.VDISCARD,
}

// flag is a bit in one word of the settings.
type flag struct {
	word func(*ipc.Modes) *uint32
	bit  uint32
}

func iflag(t *ipc.Modes) *uint32 { return &t.Iflag }
func oflag(t *ipc.Modes) *uint32 { return &t.Oflag }
func cflag(t *ipc.Modes) *uint32 { return &t.Cflag }
func lflag(t *ipc.Modes) *uint32 { return &t.Lflag }

// flags are the modes that are on or off. A pseudo-terminal always has eight bits and no parity.
var flags = map[string]flag{
	"ignpar": {iflag, unix.IGNPAR}, "parmrk": {iflag, unix.PARMRK}, "inpck": {iflag, unix.INPCK},
	"istrip": {iflag, unix.ISTRIP}, "inlcr": {iflag, unix.INLCR}, "igncr": {iflag, unix.IGNCR},
	"icrnl": {iflag, unix.ICRNL}, "iuclc": {iflag, unix.IUCLC}, "ixon": {iflag, unix.IXON},
	"ixany": {iflag, unix.IXANY}, "ixoff": {iflag, unix.IXOFF}, "imaxbel": {iflag, unix.IMAXBEL},
	"iutf8": {iflag, unix.IUTF8}, // RFC 8160

	"isig": {lflag, unix.ISIG}, "icanon": {lflag, unix.ICANON}, "xcase": {lflag, unix.XCASE},
	"echo": {lflag, unix.ECHO}, "echoe": {lflag, unix.ECHOE}, "echok": {lflag, unix.ECHOK},
	"echonl": {lflag, unix.ECHONL}, "noflsh": {lflag, unix.NOFLSH}, "tostop": {lflag, unix.TOSTOP},
	"iexten": {lflag, unix.IEXTEN}, "echoctl": {lflag, unix.ECHOCTL}, "echoke": {lflag, unix.ECHOKE},
	"pendin": {lflag, unix.PENDIN},

	"opost": {oflag, unix.OPOST}, "olcuc": {oflag, unix.OLCUC}, "onlcr": {oflag, unix.ONLCR},
	"ocrnl": {oflag, unix.OCRNL}, "onocr": {oflag, unix.ONOCR}, "onlret": {oflag, unix.ONLRET},

	"cs7": {cflag, 0}, "cs8": {cflag, 0}, "parenb": {cflag, 0}, "parodd": {cflag, 0},
}

// speeds are the shifts of the two rates within c_cflag. That of output is the lower one. Programs
// can read the rates, but they do not affect the pseudo-terminal's speed.
var speeds = map[string]uint{"tty_op_ispeed": unix.IBSHIFT, "tty_op_ospeed": 0}

// rates are the rates that termios(3) has a constant for, in bits a second.
var rates = map[int64]uint32{
	50: unix.B50, 75: unix.B75, 110: unix.B110, 134: unix.B134, 150: unix.B150, 200: unix.B200,
	300: unix.B300, 600: unix.B600, 1200: unix.B1200, 1800: unix.B1800, 2400: unix.B2400,
	4800: unix.B4800, 9600: unix.B9600, 19200: unix.B19200, 38400: unix.B38400, 57600: unix.B57600,
	115200: unix.B115200, 230400: unix.B230400, 460800: unix.B460800, 500000: unix.B500000,
	576000: unix.B576000, 921600: unix.B921600, 1000000: unix.B1000000, 1152000: unix.B1152000,
	1500000: unix.B1500000, 2000000: unix.B2000000, 2500000: unix.B2500000, 3000000: unix.B3000000,
	3500000: unix.B3500000, 4000000: unix.B4000000,
}

// Set sets a mode of RFC 4254, section 8, by its name there in lower case. The value is a bool or
// an int64. The error says which value would be right.
func (t *Terminal) Set(mode string, value any) error {
	var err error
	if at, ok := chars[mode]; ok {
		err = t.setChar(at, value)
	} else if f, ok := flags[mode]; ok {
		err = t.setFlag(f, value)
	} else if shift, ok := speeds[mode]; ok {
		err = t.setSpeed(shift, value)
	} else {
		return fmt.Errorf("%s is not a terminal mode of RFC 4254", mode)
	}
	if err != nil {
		return fmt.Errorf("%s %w", mode, err)
	}
	return nil
}

func (t *Terminal) setChar(at int, value any) error {
	n, ok := value.(int64)
	if !ok || n < 0 || n > 255 {
		return errors.New("must be a character's number from 0 to 255, where 255 means none")
	}
	if n == 255 {
		n = disabled
	}
	if at != none {
		t.clear.Cc[at], t.set.Cc[at] = 0xff, byte(n)
	}
	return nil
}

func (t *Terminal) setFlag(f flag, value any) error {
	on, ok := value.(bool)
	if n, isInt := value.(int64); isInt {
		on, ok = n == 1, n == 0 || n == 1
	}
	if !ok {
		return errors.New("must be true, false, 1 or 0")
	}
	bits := uint32(0)
	if on {
		bits = f.bit
	}
	t.setBits(f.word, f.bit, bits)
	return nil
}

func (t *Terminal) setSpeed(shift uint, value any) error {
	n, _ := value.(int64)
	rate, ok := rates[n]
	if !ok {
		return errors.New("must be a rate of termios(3) in bits a second, such as 38400")
	}
	t.setBits(cflag, unix.CBAUD<<shift, rate<<shift)
	return nil
}

// setBits sets the bits of the mask to the given ones.
func (t *Terminal) setBits(word func(*ipc.Modes) *uint32, mask, bits uint32) {
	*word(&t.clear) |= mask
	*word(&t.set) = *word(&t.set)&^mask | bits
}
