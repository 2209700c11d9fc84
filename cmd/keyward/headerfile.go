package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"keyward/cmd/keyward/command"
)

// headerLine is a header line as given, and where it was given.
type headerLine struct{ from, text string }

// headerLinesOf returns the header lines that the values of --header give. As
// with curl, @FILE and @- stand for the lines of a file and of standard input:
// an argument is visible to every process of the machine, so a credential should
// not be one.
func headerLinesOf(env *command.Env, values []string) ([]headerLine, error) {
	var lines []headerLine
	fromStdin := false
	for i, value := range values {
		file, isFile := strings.CutPrefix(value, "@")
		if !isFile {
			lines = append(lines, headerLine{fmt.Sprintf("--header number %d", i+1), value})
			continue
		}
		if file == "-" && fromStdin {
			return nil, command.Usagef("--header @-: give it once")
		}
		fromStdin = fromStdin || file == "-"
		text, err := readHeaders(env, file)
		if err != nil {
			return nil, err
		}
		number := 0
		for line := range strings.Lines(text) {
			if number++; strings.TrimSpace(line) != "" {
				lines = append(lines, headerLine{fmt.Sprintf("--header @%s, line %d", file, number), strings.TrimRight(line, "\r\n")})
			}
		}
	}
	return lines, nil
}

func readHeaders(env *command.Env, file string) (string, error) {
	in := env.Stdin
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return "", command.Usagef("--header: %w", err)
		}
		defer opened.Close()
		in = opened
	}
	text, err := io.ReadAll(io.LimitReader(in, maxLine+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("--header @%s: %w", file, err)
	case len(text) > maxLine:
		return "", command.Usagef("--header @%s: longer than %d bytes", file, maxLine)
	}
	return string(text), nil
}
