package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"erluv/config"
)

// printSettings prints a line for each setting: name, value, source, and the sources that it
// shadows.
func printSettings(w io.Writer, settings []config.Setting) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "SETTING\tVALUE\tSOURCE\tSHADOWS")
	for _, s := range settings {
		shadows := "-"
		if len(s.Shadows) > 0 {
			shadows = strings.Join(s.Shadows, ", ")
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\n", s.Name, s.Value, s.Source, shadows)
	}
	return tab.Flush()
}
