package childproc

// ids are the ids that callers have given to programs. Each is unique.
type ids struct {
	programs map[string]*program
	of       map[*program]string
}

// give records the id of a program, if it is not "".
func (i *ids) give(p *program, id string) {
	if id == "" {
		return
	}
	if i.programs == nil {
		i.programs, i.of = make(map[string]*program), make(map[*program]string)
	}
	i.programs[id], i.of[p] = p, id
}

// forget undoes give.
func (i *ids) forget(p *program) {
	delete(i.programs, i.of[p])
	delete(i.of, p)
}
