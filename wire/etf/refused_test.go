package etf

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// unhex turns hex into bytes. It ignores spaces and text in parentheses.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	var digits strings.Builder
	for s != "" {
		part, rest, _ := strings.Cut(s, "(")
		digits.WriteString(strings.ReplaceAll(part, " ", ""))
		_, s, _ = strings.Cut(rest, ")")
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	nodeHex = "77 03 614062" // a@b
	funHex  = "01 000102030405060708090A0B0C0D0E0F 00000000"
)

// refused has terms that no node sends, except one that intends harm.
var refused = []struct {
	name, hex string
	err       error
}{
	{"nothing", "", errTruncated},
	{"a version", "83 61 01", errTag},
	{"tag 0", "00", errTag},
	{"fun of before OTP 23", "75 00000000", errTag},
	{"term of the node's own (LOCAL_EXT)", "79 00000000 6A", errTag},
	{"compressed", "50 FFFFFFFF 789C", errCompressed},
	{"atom cache", "52 00", errAtomCache},
	{"bytes behind", "61 01 61", errTrailing},

	{"atom of 256 characters", "76 0100" + strings.Repeat("61", 256), errAtom},
	{"Latin-1 atom of 256 characters", "64 0100" + strings.Repeat("E9", 256), errAtom},
	{"atom of 256 wide characters", "76 0400" + strings.Repeat("F09F90A7", 256), errAtom},
	{"atom with half a character", "77 01 C3", errAtom},
	{"atom with a surrogate", "77 03 EDA080", errAtom},
	{"atom with an overlong NUL", "77 02 C080", errAtom},
	{"node of a pid half a character", "58 7701C3 00000000 00000000 00000000", errAtom},
	{"node of a pid a number", "58 6101 00000000 00000000 00000000 00000000", errNotAtom},

	{"not a number", "46 7FF8000000000000", errFloat},
	{"infinity", "46 FFF0000000000000", errFloat},
	{"old float too large", oldFloatHex("1.0e+400"), errFloat},
	{"old float infinite", oldFloatHex("inf"), errFloat},
	{"old float in hex", oldFloatHex("0x1.8p1"), errFloat},
	{"old float without a point", oldFloatHex("1e+00"), errFloat},
	{"old float without digits", oldFloatHex("1.e+00"), errFloat},
	{"old float and more", oldFloatHex("1.0e+00\x001"), errFloat},
	{"old float without an end", "63" + strings.Repeat("31", 2) + "2E" + strings.Repeat("31", 24) + "652B3030", errFloat},

	{"sign 2", "6E 01 02 05", errBig},
	{"integer larger than a node's", "6F 0007FFF9 00" + strings.Repeat("FF", maxBigBytes+1), errBig},
	{"9 bits in a byte", "4D 00000001 09 00", errBits},
	{"0 bits in a byte", "4D 00000001 00 00", errBits},
	{"3 bits of nothing", "4D 00000000 03", errBits},
	{"bits that are not used", "4D 00000001 03 FF", errBits},

	{"empty list with a tail", "6C 00000000 6101", errList},
	{"tuple larger than a node's", "69 01000000" + strings.Repeat("6A", 1<<10), errTuple},
	{"key twice", "74 00000002 6101 6A 6101 6A", errDuplicate},
	{"key twice in two forms", "74 00000002 6101 6A 62 00000001 6A", errDuplicate},
	{"atom twice in two forms", "74 00000002 770141 6A 64000141 6A", errDuplicate},
	{"wide atom twice in two forms", "74 00000002 7702C3A9 6A 640001E9 6A", errDuplicate},
	{"list twice in two forms", "74 00000002 6B00020102 6A 6C00000002610161026A 6A", errDuplicate},
	{"list twice, its tail a list", "74 00000002 6B00020102 6A 6C0000000161016C0000000161026A 6A", errDuplicate},
	{"list twice, its tail a string", "74 00000002 6B00020102 6A 6C0000000161016B000102 6A", errDuplicate},
	{"float twice in two forms", "74 00000002 463FF8000000000000 6A" + oldFloatHex("1.5e+00") + "6A", errDuplicate},
	{"pid twice in two forms", "74 00000002 58 770161 00000001 00000002 00000003 6A 67 64000161 00000001 00000002 03 6A", errDuplicate},
	{"map twice in another order", "74 00000002 74000000026101610261036104 6A 74000000026103610461016102 6A", errDuplicate},
	{"one of 40 keys twice", "74 00000028" + keysHex(39) + "6105 6A", errDuplicate},
	{"key twice in a map in a list in a map", "74 00000001 6A 6C00000001 74000000026A6A6A6A 6A", errDuplicate},
	{"key twice in a key", "74 00000001 74000000026A6A6A6A 6A", errDuplicate},

	{"reference without words", "5A 0000" + nodeHex + "00000001", errRef},
	{"reference of 6 words", "5A 0006" + nodeHex + strings.Repeat("00000001", 7), errRef},
	{"old reference too large", "72 0001" + nodeHex + "01 00040000", errRef},
	{"oldest reference too large", "65" + nodeHex + "00040000 01", errRef},
	{"creation of an old reference", "72 0001" + nodeHex + "04 00000001", errCreation},
	{"creation of an old pid", "67" + nodeHex + "00000001 00000001 04", errCreation},
	{"creation of an old port", "66" + nodeHex + "00000001 04", errCreation},
	{"arity of a fun in five bytes", "71 770161 770162 62 00000100", errFun},
	{"fun larger than its terms", "70 00000037" + funHex + "00000000 770161 6101 6101 58" + nodeHex + "000000010000000200000003 6A", errFun},
	{"fun smaller than its terms", "70 00000035" + funHex + "00000000 770161 6101 6101 58" + nodeHex + "000000010000000200000003", errFun},
	{"fun of no module", "70 00000034" + funHex + "00000000 6A 6101 6101 58" + nodeHex + "000000010000000200000003", errFun},
	{"fun without a pid", "70 00000025" + funHex + "00000000 770161 6101 6101 6A", errFun},
	{"fun with a bignum", "70 0000003F" + funHex + "00000000 770161 6E0800FFFFFFFFFFFFFF7F 6101 58" + nodeHex + "000000010000000200000003", errFun},
}

// accepted has terms that are accepted although no node writes them now.
var accepted = []struct{ name, hex, text string }{
	{"old pid", "67" + nodeHex + "FFFFFFFF FFFFFFFF 03", "pid('a@b',4294967295,4294967295,3)"},
	{"old port", "66" + nodeHex + "0000000A 02", "port('a@b',10,2)"},
	{"oldest reference", "65" + nodeHex + "0003FFFF 02", "ref('a@b',2,262143)"},
	{"old reference", "72 0002" + nodeHex + "02 0003FFFF FFFFFFFF", "ref('a@b',2,262143,4294967295)"},
	{"small Latin-1 atom", "73 02 41E9", "'Aé'"},
	{"old float", oldFloatHex("-1.50000000000000000000e+00"), "-1.50000000000000000000e+00"},
	{"integer with zeros", "6E 04 01 05000000", "-5"},
	{"integer of no bytes", "6E 00 00", "0"},
	{"minus nought", "6E 01 01 00", "0"},
	{"large integer of few bytes", "6F 00000001 00 09", "9"},
	{"small integer in five bytes", "62 00000009", "9"},
	{"least integer of 64 bits", "6E 08 01 0000000000000080", "-9223372036854775808"},
	{"binary as bit string", "4D 00000002 08 0102", "<<16#0102>>"},
	{"empty string", "6B 0000", "[]"},
	{"empty list with its end", "6C 00000000 6A", "[]"},
	{"list whose tail is a list", "6C 00000001 6101 6C 00000001 6102 6B 0002 0304", "[1,2,3,4]"},
	{"small tuple in the large form", "69 00000001 6A", "{[]}"},
	{"keys alike", "74 00000003 6101 6A 463FF0000000000000 6A 6B000101 6A", "#{1 => [],1.00000000000000000000e+00 => [],[1] => []}"},
	{
		"fun", "70 00000038" + funHex + "00000001 770161 6101 6101 58" + nodeHex + "000000010000000200000003 6107",
		"fun 'a'/1 0 000102030405060708090A0B0C0D0E0F [7]",
	},
}

func oldFloatHex(s string) string {
	return fmt.Sprintf("63%X%s", s, strings.Repeat("00", 31-len(s)))
}

// keysHex makes n pairs of an integer and [].
func keysHex(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "61%02X6A", i)
	}
	return b.String()
}

func TestRefused(t *testing.T) {
	for _, c := range refused {
		b := unhex(t, c.hex)
		if term, err := Decode(b); err != c.err {
			t.Errorf("%s: Decode gave %v, %v, want %v", c.name, term, err, c.err)
		}
		r := NewReader(b)
		raw, err := r.Raw()
		if err == nil {
			err = r.Done()
		} else if len(r.Rest()) != len(b) {
			t.Errorf("%s: Raw failed and moved", c.name)
		}
		if err != c.err {
			t.Errorf("%s: Raw gave %X, %v, want %v", c.name, raw, err, c.err)
		}
	}
}

func TestAccepted(t *testing.T) {
	var terms [][]byte
	for _, c := range accepted {
		b := unhex(t, c.hex)
		checkVector(t, vector{c.name, b, c.text}, false)
		terms = append(terms, b)
	}
	for i, got := range nodeTexts(t, terms) {
		if got != accepted[i].text {
			t.Errorf("%s: the node differs: %s, want %s", accepted[i].name, got, accepted[i].text)
		}
	}
}
