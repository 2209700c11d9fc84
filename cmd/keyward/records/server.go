package records

import (
	"keyward/cmd/keyward/command"
	"keyward/manage/client"
)

// server has the flags that name a running Keyward, whose API a command calls in place
// of working on files.
type server struct {
	Server    string `placeholder:"URL" help:"Work through the API of the Keyward with this console, such as https://keyward.example.com, instead of on files (default $KEYWARD_SERVER)."`
	TokenFile string `placeholder:"FILE" help:"File whose first line is the key to call that API with (default $KEYWARD_TOKEN_FILE)."`
	CAFile    string `name:"ca-file" placeholder:"FILE" help:"Certificates that may have signed the server's, instead of those of the system."`
}

// The variables of the environment that count where the flags are not given.
const (
	serverVariable = "KEYWARD_SERVER"
	tokenVariable  = "KEYWARD_TOKEN_FILE"
)

// fileFlag is a flag that only work on files has.
type fileFlag struct {
	name  string
	given bool
	place bool // it names the files, and so takes precedence over the environment
}

// connect returns the client of the API, nil if the command works on files. A flag of
// work on files contradicts the flag --server; one that names the files takes precedence
// over the environment, and another contradicts that too.
func (s *server) connect(env *command.Env, files ...fileFlag) (*client.Client, error) {
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
		if f.given {
			return nil, command.Usagef("%s is for work on files, and does not go with --server or $%s", f.name, serverVariable)
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
func serverOf(env *command.Env, files []fileFlag) string {
	for _, f := range files {
		if f.place && f.given {
			return ""
		}
	}
	url, _ := env.Getenv(serverVariable)
	return url
}

// onFiles refuses a command that works on files alone, where the environment has the
// other commands work through the API and no flag names the files.
func onFiles(env *command.Env, files ...fileFlag) error {
	if serverOf(env, files) != "" {
		return command.Usagef("$%s is set, and this command works on files: name them with --file or --config", serverVariable)
	}
	return nil
}

// flags returns those flags of the key file that only work on files has.
func (f *keyFile) flags() []fileFlag {
	return []fileFlag{{"--file", f.File != "", true}, {"--config", f.Config != "", true}, {"--pepper-file", f.PepperFile != "", false}}
}

func (f *startOver) flag() fileFlag { return fileFlag{"--start-over", f.StartOver, false} }

func (f *usageFile) flag() fileFlag { return fileFlag{"--usage", f.Usage != "", false} }

// filePair returns the flags of a file that a configuration may name.
func filePair(file, config string) []fileFlag {
	return []fileFlag{{"--file", file != "", true}, {"--config", config != "", true}}
}
