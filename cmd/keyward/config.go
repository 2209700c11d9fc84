package main

import (
	"errors"
	"fmt"
	"io"

	"keyward/config"
	"keyward/filecheck"

	"keyward/cmd/keyward/command"
)

type configCommands struct {
	Validate configValidate `cmd:"" help:"Report all problems in a configuration file."`
}

type configValidate struct {
	File  string `arg:"" help:"Configuration file."`
	Files bool   `help:"Also open the files that it names, and report all problems in them."`
	command.Output
}

// validation is the result for one configuration.
type validation struct {
	File     string    `json:"file"`
	Valid    bool      `json:"valid"`
	Problems []finding `json:"problems"`
	Warnings []finding `json:"warnings"`
}

type finding struct {
	Line    int    `json:"line,omitempty"` // none: the entire file
	Message string `json:"message"`
}

func findings(problems config.Problems) []finding {
	found := make([]finding, len(problems))
	for i, p := range problems {
		found[i] = finding{p.Line, p.Message}
	}
	return found
}

// Run validates the file. If a file that it names cannot be opened here, that is
// a warning only, since the file may exist where the server runs. With --files
// it is a problem, like anything else that is wrong with such a file.
func (c *configValidate) Run(env *command.Env) error {
	cfg, err := config.Load(c.File, env.Getenv)
	var problems config.Problems
	if err != nil && !errors.As(err, &problems) {
		return err
	}
	var warnings config.Problems
	switch {
	case cfg != nil && c.Files:
		problems, warnings = filecheck.Check(cfg)
		warnings = append(cfg.Warnings, warnings...)
	case cfg != nil:
		warnings = append(cfg.Warnings, filecheck.Missing(cfg)...)
	}
	for _, warning := range warnings {
		if !c.JSON {
			fmt.Fprintf(env.Stderr, "%v (warning)\n", warning)
		}
	}
	if problems != nil && !c.JSON {
		fmt.Fprintln(env.Stderr, problems)
		return command.ExitCode(command.Refused)
	}
	result := validation{c.File, problems == nil, findings(problems), findings(warnings)}
	if err := c.Print(env, result, func(w io.Writer) { fmt.Fprintf(w, "%s: valid\n", c.File) }); err != nil {
		return err
	}
	if problems != nil {
		return command.ExitCode(command.Refused)
	}
	return nil
}
