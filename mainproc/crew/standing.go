package crew

import "time"

// Standing returns the crew's state, in pairs for a log.
func (c *Crew) Standing() []any {
	c.mu.Lock()
	defer c.mu.Unlock()
	others := 0
	for i := range c.others {
		if c.others[i].p != nil {
			others++
		}
	}
	return []any{
		"child", c.child.pid, "spawner", c.spawner.pid, "spawners_of_others", others, "contained_by", c.by.name,
		"since", time.Since(c.began).Round(time.Second), "answers", c.Answers(), "ending", c.ending,
	}
}
