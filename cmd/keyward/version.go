package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"keyward/cmd/keyward/command"
)

// version is set by the linker; see the Makefile.
var version string

type versionCommand struct{ command.Output }

// build identifies the program.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func thisBuild() build {
	b := build{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			b.Commit = setting.Value
		case setting.Key == "vcs.modified" && setting.Value == "true":
			b.Commit += "+modified"
		}
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	return b
}

// Run prints the build.
func (c *versionCommand) Run(env *command.Env) error {
	b := thisBuild()
	return c.Print(env, b, func(w io.Writer) {
		fmt.Fprintf(w, "keyward %s %s %s/%s\n", b.Version, b.Go, b.OS, b.Arch)
	})
}
