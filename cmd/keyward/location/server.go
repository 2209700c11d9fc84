package location

import (
	"keyward/cmd/keyward/command"
	"keyward/manage/client"
)

// Server has the flags that name a running Keyward, whose API a command calls in place
// of working on files.
type Server struct {
	Server    string `placeholder:"URL" help:"Work through the API of the Keyward with this console, such as https://keyward.example.com, instead of on files (default $KEYWARD_SERVER)."`
	TokenFile string `placeholder:"FILE" help:"File whose first line is the key to call that API with (default $KEYWARD_TOKEN_FILE)."`
	CAFile    string `name:"ca-file" placeholder:"FILE" help:"Certificates that may have signed the server's, instead of those of the system."`
}

// The variables of the environment that count where the flags are not given.
const (
	ServerVariable = "KEYWARD_SERVER"
	tokenVariable  = "KEYWARD_TOKEN_FILE"
)

// FileFlag is a flag that only work on files has.
type FileFlag struct {
	Name  string
	Given bool
	Names bool // the files: it takes precedence over the environment
}

// Connect returns the client of the API, nil if the command works on files. A flag of
// work on files contradicts the flag --server; one that names the files takes precedence
// over the environment, and another contradicts that too.
func (s *Server) Connect(env *command.Env, files ...FileFlag) (*client.Client, error) {
	url := s.Server
	if url == "" {
		url = serverOf(env, files)
	}
	if url == "" {
		if s.TokenFile != "" || s.CAFile != "" {
			return nil, command.Usagef("--token-file and --ca-file are for --server")
		}
		return nil, nil
	}
	for _, f := range files {
		if f.Given {
			return nil, command.Usagef("%s is for work on files, and does not go with --server or $%s", f.Name, ServerVariable)
		}
	}
	file := s.TokenFile
	if file == "" {
		file, _ = env.Getenv(tokenVariable)
	}
	if file == "" {
		return nil, command.Usagef("--server needs a key to call the API with: name its file with --token-file or $%s", tokenVariable)
	}
	token, err := client.ReadTokenFile(file)
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Config{URL: url, Token: token, CAFile: s.CAFile})
	if err != nil {
		return nil, command.UsageError(err)
	}
	return c, nil
}

// serverOf returns the server that the environment names; "" if it names none, or the
// flags name files.
func serverOf(env *command.Env, files []FileFlag) string {
	for _, f := range files {
		if f.Names && f.Given {
			return ""
		}
	}
	url, _ := env.Getenv(ServerVariable)
	return url
}

// onFiles refuses a command that works on files alone, where the environment has the
// other commands work through the API and no flag names the files.
func onFiles(env *command.Env, files ...FileFlag) error {
	if serverOf(env, files) != "" {
		return command.Usagef("$%s is set, and this command works on files: name them with --file or --config", ServerVariable)
	}
	return nil
}

// flags returns those flags of the key file that only work on files has.
func (f *KeyFile) flags() []FileFlag {
	return append(filePair(f.File, f.Config), pepperFlag(f.PepperFile))
}

func pepperFlag(file string) FileFlag { return FileFlag{"--pepper-file", file != "", false} }

func (f *StartOver) flag() FileFlag { return FileFlag{"--start-over", f.StartOver, false} }

func (f *UsageFile) flag() FileFlag { return FileFlag{"--usage", f.Usage != "", false} }

// filePair returns the flags of a file that a configuration may name.
func filePair(file, config string) []FileFlag {
	return []FileFlag{{"--file", file != "", true}, {"--config", config != "", true}}
}
