package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"keyward/config"
	"keyward/keystore"
)

type configCommands struct {
	Validate configValidate `cmd:"" help:"Tell all that is wrong with a configuration."`
}

type configValidate struct {
	File string `arg:"" help:"The configuration."`
	output
}

// validation is what there is to say about a configuration.
type validation struct {
	File     string    `json:"file"`
	Valid    bool      `json:"valid"`
	Problems []finding `json:"problems"`
	Warnings []finding `json:"warnings"`
}

type finding struct {
	Line    int    `json:"line,omitempty"` // none: the file as a whole
	Message string `json:"message"`
}

func findings(problems config.Problems) []finding {
	found := make([]finding, len(problems))
	for i, p := range problems {
		found[i] = finding{p.Line, p.Message}
	}
	return found
}

// Run validates the file. What it names and what is not there on this machine
// is a warning only: it may be there where the server runs.
func (c *configValidate) Run(env *environment) error {
	cfg, err := config.Load(c.File, env.getenv)
	var problems config.Problems
	if err != nil && !errors.As(err, &problems) {
		return err
	}
	var warnings config.Problems
	if cfg != nil {
		warnings = append(cfg.Warnings, missingFiles(cfg)...)
	}
	for _, warning := range warnings {
		if !c.JSON {
			fmt.Fprintf(env.stderr, "%v (warning)\n", warning)
		}
	}
	if problems != nil && !c.JSON {
		fmt.Fprintln(env.stderr, problems)
		return exitCode(exitRefused)
	}
	result := validation{c.File, problems == nil, findings(problems), findings(warnings)}
	if err := c.print(env, result, func(w io.Writer) { fmt.Fprintf(w, "%s: valid\n", c.File) }); err != nil {
		return err
	}
	if problems != nil {
		return exitCode(exitRefused)
	}
	return nil
}

// namedFile is a file that a configuration names, and where it does so.
type namedFile struct{ key, path string }

// missingFiles looks for what the configuration names and nobody makes on demand.
func missingFiles(cfg *config.Config) config.Problems {
	var found config.Problems
	files := []namedFile{
		{"keys.file", cfg.Keys.File},
		{"users.file", cfg.Users.File},
		{"tls.grpc.cert_file", cfg.TLS.GRPC.CertFile},
		{"tls.grpc.key_file", cfg.TLS.GRPC.KeyFile},
		{"tls.grpc.client_ca_file", cfg.TLS.GRPC.ClientCAFile},
		{"tls.admin.cert_file", cfg.TLS.Admin.CertFile},
		{"tls.admin.key_file", cfg.TLS.Admin.KeyFile},
		{"tls.admin.client_ca_file", cfg.TLS.Admin.ClientCAFile},
		{"tls.http.cert_file", cfg.TLS.HTTP.CertFile},
		{"tls.http.key_file", cfg.TLS.HTTP.KeyFile},
		{"tls.http.client_ca_file", cfg.TLS.HTTP.ClientCAFile},
	}
	for _, issuer := range cfg.JWT {
		files = append(files, namedFile{"jwt " + issuer.Name + ": jwks_file", issuer.JWKSFile},
			namedFile{"jwt " + issuer.Name + ": hmac_secret_file", issuer.HMACSecretFile})
	}
	for _, server := range cfg.Introspection {
		files = append(files, namedFile{"introspection " + server.Name + ": client_secret_file", server.ClientSecretFile})
	}
	for _, file := range files {
		if file.path == "" {
			continue
		}
		if err := readable(file.path); err != nil {
			found = append(found, config.Problem{File: cfg.File, Message: fmt.Sprintf("%s: %v", file.key, cfg.HideEnv(err))})
		}
	}
	if cfg.Keys.PepperFile != "" {
		if _, err := keystore.ReadPepper(cfg.Keys.PepperFile); err != nil {
			found = append(found, config.Problem{File: cfg.File, Message: fmt.Sprintf("keys.pepper_file: %v", cfg.HideEnv(err))})
		}
	}
	return found
}

func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}
