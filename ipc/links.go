package ipc

// mostLinks is how many connections that nodes make there may be. Each costs main and the child
// three descriptors, and a journal.
const mostLinks = 1000

// MostLinks is the same for a process that may have so many descriptors: main and the child
// spend three eighths of them on it at most.
func MostLinks(descriptors uint64) int { return int(min(mostLinks, descriptors/8)) }
