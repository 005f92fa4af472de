package prose

import "regexp"

// A term has one spelling. HACKING.md, Glossary, says what each term means.
type term struct {
	spelling string
	others   *regexp.Regexp
}

// terms are those that have been written in another way, here or in texts that a writer knows.
var terms = []term{
	{"back-pressure", other(`(?i:back ?pressure)`)},
	{"control group", other(`[Cc]groups|(?:[Aa]|[Tt]he|[Ii]ts|[Ee]ach) cgroup`)},
	{"control message", other(`(?i:distribution messages?)`)},
	{"cookie", other(`(?i:(?:magic|secret) cookies?)`)},
	{"descendant", other(`(?i:(?:grand|sub-?)(?:child|children|process|processes))`)},
	{"environment variable", other(`(?i:env(?:ironment)? vars?)`)},
	{"EPMD", other(`[Ee]pmd`)},
	{"exit status", other(`[Ee]xit codes?|return codes?`)},
	{"file descriptor", other(`(?i:(?:a|the|open|its) file handles?)|filehandles?`)},
	{"file system", other(`(?i:file-?systems?)`)},
	{"handshake", other(`(?i:hand[- ]shakes?)`)},
	{"Landlock", other(`(?:[Bb]y|[Uu]nder|[Ww]ith|[Ww]ithout|[Hh]as) landlock|LandLock`)},
	{"mailbox", other(`(?i:mail box(?:es)?)`)},
	{"network namespace", other(`(?i:net ?ns)`)},
	{"pid namespace", other(`(?:PID|process) namespaces?`)},
	{"process group", other(`(?i:pgroups?|process-groups?)`)},
	{"system call", other(`(?i:sys-?calls|an? sys-?call)`)},
	{"tick", other(`(?i:heart-?beats?|keep-?alives?)`)},
	{"Unix socket", other(`(?i:unix[- ]domain sockets?)|(?:unix|UNIX) sockets?`)},
	{"user name", other(`[Uu]sernames?|[Uu]ser-names?`)},
}

// other matches a word, but not a part of a path, a name or a call.
func other(words string) *regexp.Regexp {
	return regexp.MustCompile(`(?:^|[\s(,;:"])(?:` + words + `)(?:[\s),;:"?!]|\.$|$)`)
}

var packageOf = regexp.MustCompile(`^Package \w+`)

// Term returns the spelling of a term that a sentence spells in another way, "" if it does not.
func Term(sentence string) string {
	sentence = packageOf.ReplaceAllString(sentence, "")
	for _, t := range terms {
		if t.others.MatchString(sentence) {
			return t.spelling
		}
	}
	return ""
}

// Spellings are those of all terms, for the glossary.
func Spellings() (all []string) {
	for _, t := range terms {
		all = append(all, t.spelling)
	}
	return all
}
